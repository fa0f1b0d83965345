"""Which symbols an ELF object file leaves open. Other formats are not read."""

import struct
from typing import Final

__all__ = ["undefined_symbols"]

_IDENTIFICATION: Final = b"\x7fELF\x02\x01"  # 64 bits, little endian: x86-64 and AArch64 Linux.
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE: Final = 2


def undefined_symbols(code: bytes) -> frozenset[str]:
    """Names that an ELF object file uses and does not define; empty for a file of another format.

    Source: System V Application Binary Interface, chapter 4 (object files).
    """
    if not code.startswith(_IDENTIFICATION):
        return frozenset()
    (section_table,) = struct.unpack_from("<Q", code, 0x28)
    (count,) = struct.unpack_from("<H", code, 0x3C)
    sections = [_SECTION.unpack_from(code, section_table + number * _SECTION.size) for number in range(count)]
    names = set()
    for _, kind, _, _, offset, size, link, _, _, _ in sections:
        if kind != _SYMBOL_TABLE:
            continue
        text_begin, text_size = sections[link][4:6]
        text = code[text_begin : text_begin + text_size]
        for name, _, _, section, _, _ in _SYMBOL.iter_unpack(code[offset : offset + size]):
            if section == 0 and name != 0:
                names.add(text[name : text.index(b"\0", name)].decode())
    # The linker's own name for its table of addresses.
    return frozenset(names - {"_GLOBAL_OFFSET_TABLE_"})
