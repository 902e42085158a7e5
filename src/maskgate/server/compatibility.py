"""Whether a new OpenAPI document breaks clients of an old one, and how.

What a client may send must stay accepted, and what it may receive must stay what it was. Fields, paths and
responses may be added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Document = Mapping[str, Any]
Schema = Mapping[str, Any]

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_EQUAL: Final = ("pattern", "format", "const")


def breaking_changes(old: Document, new: Document) -> list[str]:
    """A sentence for each change that breaks clients; none where there is none."""
    return list(_Comparison(old, new).paths())


class _Comparison:
    def __init__(self, old: Document, new: Document) -> None:
        self._old, self._new = old, new

    def paths(self) -> Iterator[str]:
        for path, methods in self._old["paths"].items():
            for method, operation in methods.items():
                if method not in _METHODS:
                    continue
                name = f"{method.upper()} {path}"
                changed = self._new["paths"].get(path, {}).get(method)
                if changed is None:
                    yield f"{name} is gone"
                    continue
                yield from self._parameters(name, operation, changed)
                yield from self._body(name, operation, changed)
                yield from self._responses(name, operation, changed)

    def _parameters(self, name: str, old: Schema, new: Schema) -> Iterator[str]:
        before = {(one["in"], one["name"]): one for one in old.get("parameters", ())}
        after = {(one["in"], one["name"]): one for one in new.get("parameters", ())}
        for key, parameter in before.items():
            called = f"{name}, parameter '{key[1]}'"
            if key not in after:
                yield f"{called} is gone"
                continue
            for reason in self._narrowed(parameter["schema"], after[key]["schema"]):
                yield f"{called}: {reason}"
        for key, parameter in after.items():
            was_required = before.get(key, {}).get("required", False)
            if parameter.get("required", False) and not was_required:
                yield f"{name}, parameter '{key[1]}' has become required"

    def _body(self, name: str, old: Schema, new: Schema) -> Iterator[str]:
        before, after = old.get("requestBody"), new.get("requestBody")
        if before is None:
            if after is not None and after.get("required", False):
                yield f"{name} has come to require a body"
            return
        if after is None:
            yield f"{name} takes no body any more"
            return
        if after.get("required", False) and not before.get("required", False):
            yield f"{name} has come to require its body"
        for kind, content in before["content"].items():
            if kind not in after["content"]:
                yield f"{name} does not take {kind} any more"
                continue
            for reason in self._narrowed(content["schema"], after["content"][kind]["schema"]):
                yield f"{name}, body: {reason}"

    def _responses(self, name: str, old: Schema, new: Schema) -> Iterator[str]:
        for status, response in old["responses"].items():
            changed = new["responses"].get(status)
            if changed is None:
                yield f"{name} does not answer {status} any more"
                continue
            for kind, content in response.get("content", {}).items():
                after = changed.get("content", {}).get(kind)
                if after is None:
                    yield f"{name}, answer {status} is not {kind} any more"
                    continue
                for reason in self._widened(content.get("schema", {}), after.get("schema", {})):
                    yield f"{name}, answer {status}: {reason}"

    def _narrowed(self, old: Schema, new: Schema) -> Iterator[str]:
        """Why something that was accepted may not be any more."""
        return _Inclusion(self._old, self._new, inner_is_old=True).check(old, new, "")

    def _widened(self, old: Schema, new: Schema) -> Iterator[str]:
        """Why something may be answered that was not before."""
        return _Inclusion(self._new, self._old, inner_is_old=False).check(new, old, "")


class _Inclusion:
    """Whether all that fulfils one schema fulfils another, as far as our documents' words go.

    Args:
        inner, outer: documents that the schemas' references lead into.
        inner_is_old: which of the two is the old one; a field that is gone breaks clients either way.
    """

    def __init__(self, inner: Document, outer: Document, *, inner_is_old: bool) -> None:
        self._inner, self._outer = inner, outer
        self._inner_is_old = inner_is_old

    def check(self, inner: Schema, outer: Schema, way: str) -> Iterator[str]:
        """Sentences why not; ``way`` leads to the schemas."""
        inner, outer = _resolve(inner, self._inner), _resolve(outer, self._outer)
        if "anyOf" in inner or "anyOf" in outer:
            yield from self._variants(inner, outer, way)
            return
        yield from self._values(inner, outer, way)
        if "items" in outer:
            yield from self.check(inner.get("items", {}), outer["items"], f"{way}[]")
        yield from self._fields(inner, outer, way)

    def _variants(self, inner: Schema, outer: Schema, way: str) -> Iterator[str]:
        offered = outer.get("anyOf", [outer])
        for variant in inner.get("anyOf", [inner]):
            reasons = [list(self.check(variant, one, way)) for one in offered]
            if all(reasons):
                yield min(reasons, key=len)[0]

    def _values(self, inner: Schema, outer: Schema, way: str) -> Iterator[str]:
        where = f"'{way}' " if way else ""
        changed = "is narrower" if self._inner_is_old else "is wider"
        kinds = inner.get("type"), outer.get("type")
        if outer.get("type") is not None and kinds[0] != kinds[1] and kinds != ("integer", "number"):
            yield f"{where}{changed} or another type: {_shown(inner)} is not {_shown(outer)}"
            return
        if "enum" in outer:
            extra = [value for value in inner.get("enum", ["anything"]) if value not in outer["enum"]]
            if extra:
                yield f"{where}{changed}: {', '.join(map(repr, extra))}"
        for names, sign in ((_LEAST, 1), (_MOST, -1)):
            for name in names:
                if name in outer and not (name in inner and sign * inner[name] >= sign * outer[name]):
                    yield f"{where}{changed}: {name} {outer[name]} against {inner.get(name, 'none')}"
        for name in _EQUAL:
            if name in outer and inner.get(name) != outer[name]:
                yield f"{where}{changed}: {name} {outer[name]!r} against {inner.get(name, 'none')!r}"

    def _fields(self, inner: Schema, outer: Schema, way: str) -> Iterator[str]:
        old, new = (inner, outer) if self._inner_is_old else (outer, inner)
        for name in old.get("properties", {}):
            if name not in new.get("properties", {}):
                yield f"the field '{_join(way, name)}' is gone"
        for name in outer.get("required", ()):
            known = name in old.get("properties", {})
            if name not in inner.get("required", ()) and name in new.get("properties", {}):
                if self._inner_is_old:
                    kind = "has become required" if known else "is new and required"
                else:
                    kind = "may be missing"
                yield f"the field '{_join(way, name)}' {kind}"
        for name, schema in outer.get("properties", {}).items():
            if name in inner.get("properties", {}):
                yield from self.check(inner["properties"][name], schema, _join(way, name))


def _resolve(schema: Schema, document: Document) -> Schema:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _join(way: str, name: str) -> str:
    return f"{way}.{name}" if way else name


def _shown(schema: Schema) -> str:
    return str(schema.get("type", "anything"))
