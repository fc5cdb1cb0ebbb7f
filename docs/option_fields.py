"""Shows fields that ``option(default, help, …)`` declares with their default, help and flag.

An extension of griffe, which reads the sources for the API reference and runs none of them.
"""

from __future__ import annotations

import ast
from typing import Any

import griffe


class OptionFields(griffe.Extension):
    """Turns the call in a field's value into its default and its description."""

    def on_attribute_instance(
        self,
        *,
        node: ast.AST | griffe.ObjectNode,
        attr: griffe.Attribute,
        agent: griffe.Visitor | griffe.Inspector,
        **kwargs: Any,  # noqa: ANN401 - what griffe passes later on
    ) -> None:
        """Rewrite an attribute that was just read."""
        call = getattr(node, "value", None)
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "option":
            return
        words = [_text(call.args[1], attr.module)]
        if len(call.args) > 2:  # it has a heading in --help
            flags = [word.value for word in call.keywords if word.arg == "flag"]
            hyphens = "--" + attr.name.replace("_", "-")
            words[0] += f" (`{_text(flags[0], attr.module) if flags else hyphens}`)"
        if attr.docstring:
            words.append(attr.docstring.value)
        attr.value = ast.unparse(call.args[0])
        attr.docstring = griffe.Docstring("\n\n".join(words), parent=attr)


def _text(node: ast.expr, module: griffe.Module) -> str:
    """Return a string of the source; a constant in it is filled in, anything else becomes …."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, module) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        found = module.members.get(ast.unparse(node.value))
        return str(found.value) if isinstance(found, griffe.Attribute) else "…"
    return str(ast.literal_eval(node))
