"""From a program to machine code: `ir` says what to compute, `passes` rewrite it, `plan` decides how."""
