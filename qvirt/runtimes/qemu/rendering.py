"""The templates under qemu/, filled in."""

from __future__ import annotations

from qvirt.resources import resources


def render(template: str, **values: object) -> str:
    """Raises where a value is missing. In XML every value is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(resources("qemu")),
        autoescape=select_autoescape(enabled_extensions=("xml.j2",)),
        undefined=StrictUndefined,
    )
    return str(environment.get_template(template).render(values))
