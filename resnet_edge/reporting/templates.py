"""The one way in which pages are made from templates."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_template(name: str, page: object) -> str:
    """Return a page. Every plain string is escaped, and the same page gives the same text.

    Args:
        name: Of the template, in this folder.
        page: All that it shows, as ``page``.
    """
    environment = Environment(
        loader=PackageLoader("resnet_edge.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(page=page)
