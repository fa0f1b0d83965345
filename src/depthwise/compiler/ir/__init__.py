"""The intermediate representation: typed values, operations that describe themselves, and the programs made of them."""
