"""What each kernel of a compiled program moves, read from XLA's optimised text."""

import math
import re
from collections import defaultdict
from typing import NamedTuple

WHOLE = {"while", "call", "conditional"}
"""They run other instructions, which count for themselves."""
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
READERS = {"dynamic-slice", "gather", "slice"}
"""They read as much of their first operand as they return."""


class Instruction(NamedTuple):
    """One instruction of the text.

    Attributes:
        name: unique in the program.
        opcode: such as ``fusion``.
        sizes: bytes of what it returns, one for each part of a tuple.
        operands: names, in order.
        computation: that it stands in.
        calls: the computation that it runs, of a fusion.
        target: the library's function, of a custom call.
        kernel: what such a call names its kernel, if it does.
        source: the path of the program's own names that it was made from.
        is_root: whether its computation returns it.
    """

    name: str
    opcode: str
    sizes: list[int]
    operands: list[str]
    computation: str
    calls: str
    target: str
    kernel: str
    source: str
    is_root: bool


class Program:
    """The instructions of a compiled program, by name."""

    def __init__(self, text: str) -> None:
        self.instructions: dict[str, Instruction] = {}
        self._inside: dict[str, list[Instruction]] = defaultdict(list)
        computation = ""
        for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
            header = re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line)
            if header and not line.startswith(" "):
                computation = header.group(1)
            elif found := _instruction(line, computation):
                self.instructions[found.name] = found
                self._inside[computation].append(found)

    def traffic(self, name: str) -> int | None:
        """Return the bytes that a kernel reads and writes, each number once.

        A kernel that takes or replaces a slice of an array in place moves only the slice. What a
        library's kernel needs for itself is unknown and not counted.

        Args:
            name: of an instruction.

        Returns:
            None where the program has no such instruction, or it runs others.
        """
        found = self.instructions.get(name)
        if found is None or found.opcode in WHOLE:
            return None
        if found.opcode in FREE:
            return 0
        if found.opcode == "fusion":
            inside = self._inside[found.calls]
            read = sum(self._read(p, inside) for p in inside if p.opcode == "parameter")
            return read + sum(self._written(i) for i in inside if i.is_root)
        if "triton" in found.target:
            # One of our own, which at most reads and writes all that it is given and gives.
            return sum(map(self._size, found.operands)) + sum(found.sizes)
        if found.opcode == "custom-call":
            # The first result is what was asked for; others are the library's working memory.
            return sum(map(self._size, found.operands)) + found.sizes[0]
        if found.opcode in READERS:
            return 2 * sum(found.sizes) + sum(map(self._size, found.operands[1:]))
        if found.opcode == "dynamic-update-slice":
            return 2 * self._size(found.operands[1])
        return sum(map(self._size, found.operands)) + sum(found.sizes)

    def _size(self, name: str) -> int:
        return sum(self.instructions[name].sizes) if name in self.instructions else 0

    def _read(self, value: Instruction, inside: list[Instruction]) -> int:
        """Count what a fusion reads of one of its parameters, or of a part or view of it."""
        total, whole = 0, sum(value.sizes)
        for user in inside:
            if value.name not in user.operands:
                continue
            first = user.operands[0] == value.name and value.name not in user.operands[1:]
            if user.opcode in READERS and first:
                total += sum(user.sizes)
            elif user.opcode == "bitcast":
                total += self._read(user, inside)
            elif not (user.opcode == "dynamic-update-slice" and first):
                return whole
        return min(total, whole)

    def _written(self, value: Instruction) -> int:
        """Count what a fusion writes of what it returns."""
        if value.opcode == "dynamic-update-slice":
            return self._size(value.operands[1])
        if value.opcode == "bitcast" or value.opcode == "tuple":
            return sum(self._written(self.instructions[name]) for name in value.operands)
        return sum(value.sizes)


def _instruction(line: str, computation: str) -> Instruction | None:
    head = re.match(r"\s+(ROOT )?%?([\w.\-]+) = ", line)
    if not head:
        return None
    rest = line[head.end() :]
    end = _closing(rest) if rest.startswith("(") else rest.index(" ")
    shapes, rest = rest[:end], rest[end:].lstrip()
    opcode, _, rest = rest.partition("(")
    close = _closing("(" + rest) - 1
    operands, attributes = rest[: close - 1], rest[close:]

    def attribute(pattern: str) -> str:
        found = re.search(pattern, attributes)
        return found.group(1) if found else ""

    return Instruction(
        name=head.group(2),
        opcode=opcode,
        sizes=[_bytes(*shape) for shape in re.findall(r"(\w+)\[([\d,]*)\]", shapes)],
        operands=re.findall(r"%([\w.\-]+)", operands),
        computation=computation,
        calls=attribute(r"calls=%?([\w.\-]+)"),
        target=attribute(r'custom_call_target="([^"]*)"'),
        kernel=attribute(r'[^_]name = "(\w+)"'),
        source=attribute(r'op_name="([^"]*)"'),
        is_root=bool(head.group(1)),
    )


def _closing(text: str) -> int:
    """Return where the bracket that opens a text is closed, one behind."""
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return at + 1
    return len(text)


def _bytes(dtype: str, dimensions: str) -> int:
    """Return the bytes of an array; numbers say in their name how many bits they have."""
    digits = re.search(r"\d+", dtype)
    bits = 8 if dtype == "pred" else int(digits.group()) if digits else 0
    return math.ceil(bits * math.prod(int(n) for n in dimensions.split(",") if n) / 8)
