#!/usr/bin/env python3
"""Writes include/inkling/text/unicode_tables.hpp and include/inkling/text/html_entities.hpp.

CLIP's tokenizer asks of Unicode only: is it a letter, is it a number, what is its lower case. All of it is in
Python's standard library (unicodedata, html.entities), which is also what the reference tokenizer runs on.
Run it from the repository's root with Python 3.11 or 3.12 to get the same bytes again; a later Python brings a
later Unicode.
"""
import html.entities
import pathlib
import sys
import unicodedata

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "include" / "inkling" / "text"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HEAD = "// {what}\n// Written by scripts/make_unicode_tables.py; not to be edited.\n#pragma once\n"


def ranges(wanted):
    """[[first, last], ...] of the code points for which wanted(c) holds."""
    found = []
    for c in CODE_POINTS:
        if not wanted(c):
            continue
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def lower_runs():
    """[[first, last, step, offset], ...]: c in first, first+step, ..., last has the lower case c + offset."""
    runs = []
    for c in CODE_POINTS:
        low = chr(c).lower()
        if len(low) != 1:
            assert c == 0x130, hex(c)  # the only one-to-many lower case: i + combining dot, written out in unicode.hpp
            continue
        offset = ord(low) - c
        if offset == 0:
            continue
        if runs and runs[-1][3] == offset:
            first, last, step, _ = runs[-1]
            if (first == last and c - last <= 2) or (first != last and c - last == step):
                runs[-1][1], runs[-1][2] = c, c - last
                continue
        runs.append([c, c, 1, offset])
    return runs


# str.lower() writes a capital sigma as the final one when a cased letter stands before it and none after it,
# skipping case-ignorable characters. The two properties are read off that rule itself.
def is_case_ignorable(c):
    return ("A" + chr(c) + "\u03a3").lower().endswith("\u03c2") and not is_cased(c)


def is_cased(c):  # cased and not case-ignorable: all that the rule can tell apart
    return (" " + chr(c) + "\u03a3").lower().endswith("\u03c2")


def packed(items, indent="    "):
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + 1 > 120:
            lines.append(line.rstrip())
            line = indent
        line += item + " "
    lines.append(line.rstrip())
    return "\n".join(lines)


def range_table(name, comment, rows):
    body = packed([f"{{0x{a:X}, 0x{b:X}}}," for a, b in rows])
    return f"// {comment}\ninline constexpr CodePointRange {name}[] = {{\n{body}\n}};\n"


def escaped(text):
    """A C++ string literal in plain ASCII. Octal escapes end after three digits; hexadecimal ones do not end."""
    out = ""
    for b in text.encode("utf-8"):
        out += chr(b) if 0x20 <= b < 0x7F and chr(b) not in '"\\?' else f"\\{b:03o}"
    return f'"{out}"'


def write_unicode():
    text = HEAD.format(what=f"Unicode {unicodedata.unidata_version}: letters, numbers and lower case.")
    text += "\nnamespace inkling::unicode_tables {\n\n"
    text += "struct CodePointRange {\n  char32_t first, last;\n};\n"
    text += "// c in first, first + step, ..., last has the lower case c + offset.\n"
    text += "struct LowerCaseRun {\n  char32_t first, last;\n  int step, offset;\n};\n\n"
    category = unicodedata.category
    text += range_table("letters", r"General category L: \p{L}.", ranges(lambda c: category(chr(c))[0] == "L"))
    text += "\n" + range_table("numbers", r"General category N: \p{N}.", ranges(lambda c: category(chr(c))[0] == "N"))
    text += "\n" + range_table("cased", "Cased, and not case-ignorable.", ranges(is_cased))
    text += "\n" + range_table("case_ignorable", "Case_Ignorable.", ranges(is_case_ignorable))
    rows = packed([f"{{0x{a:X}, 0x{b:X}, {s}, {o}}}," for a, b, s, o in lower_runs()])
    text += "\n// U+0130 alone becomes two characters and is not here.\n"
    text += f"inline constexpr LowerCaseRun lower_case[] = {{\n{rows}\n}};\n"
    text += "\n}  // namespace inkling::unicode_tables\n"
    (FOLDER / "unicode_tables.hpp").write_text(text, encoding="ascii")


def write_entities():
    text = HEAD.format(what="The named character references of HTML 5, such as \"amp;\", in order of their bytes.")
    text += "#include <cstddef>\n\nnamespace inkling::html_entities {\n\n"
    text += "struct Entity {\n  const char* name;  // the old ones exist without the semicolon as well\n"
    text += "  const char* text;  // UTF-8\n};\n\n"
    entities = html.entities.html5
    rows = packed([f"{{{escaped(n)}, {escaped(entities[n])}}}," for n in sorted(entities)])
    text += f"inline constexpr std::size_t longest_name = {max(map(len, entities))};\n"
    text += f"inline constexpr Entity entities[] = {{\n{rows}\n}};\n"
    text += "\n}  // namespace inkling::html_entities\n"
    (FOLDER / "html_entities.hpp").write_text(text, encoding="ascii")


if __name__ == "__main__":
    if sys.maxunicode != 0x10FFFF:
        sys.exit("this Python cannot count to U+10FFFF")
    write_unicode()
    write_entities()
