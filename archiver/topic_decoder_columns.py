"""The own columns of a topic's files: the union over the writer schemas of one flush, and what doesn't fit into it."""

import re

import pyarrow as pa

RESERVED = frozenset({"topic", "dt", "hr"})
_NAME = re.compile(r"[^\x00-\x20\x7f\ud800-\udfff.,;=(){}/\\\"'`]{1,255}")


def why_unstorable(schema: pa.Schema) -> str | None:
    """Return why a writer schema can't be columns of a file that every engine reads, or None if it can."""
    for field in schema:
        if field.name.startswith("_") or field.name.lower() in RESERVED:
            return f"the field name {field.name!r} is reserved"
        if not pa.types.is_null(field.type) and (reason := _why_unstorable(field, ())) is not None:
            return reason
    return _clashing_names(list(schema), ()) or None


def _why_unstorable(field: pa.Field, path: tuple[str, ...]) -> str | None:
    path = (*path, field.name)
    if not _NAME.fullmatch(field.name):
        return f"{'.'.join(path)!r} is no name for a column"
    if pa.types.is_null(field.type):
        return f"{'.'.join(path)}: a field of type null within another has no form in Parquet that readers agree on"
    children = _children(field.type)
    if pa.types.is_struct(field.type) and (clash := _clashing_names(children, path)):
        return clash
    return next((reason for child in children if (reason := _why_unstorable(child, path)) is not None), None)


def _children(kind: pa.DataType) -> list[pa.Field]:
    return [kind.field(at) for at in range(kind.num_fields)] if pa.types.is_nested(kind) else []


def _clashing_names(fields: list[pa.Field], path: tuple[str, ...]) -> str:
    seen: dict[str, str] = {}
    for name in (field.name for field in fields):
        if name.lower() in seen:
            where = f" of {'.'.join(path)}" if path else ""
            other = seen[name.lower()]
            return f"the fields {other!r} and {name!r}{where} differ in case at most: engines can't tell them apart"
        seen[name.lower()] = name
    return ""


class ColumnUnion:
    """Columns in the order in which they were first met, with one type each."""

    def __init__(self) -> None:
        self._types: dict[str, pa.DataType] = {}
        self._by_folded: dict[str, str] = {}

    def admit(self, schema: pa.Schema) -> str | None:
        """Take a storable writer schema's columns in, all or none. Returns why it doesn't fit, None when it is in."""
        merged: dict[str, pa.DataType] = {}
        folded: dict[str, str] = {}
        for field in schema:
            spelt = self._by_folded.get(field.name.lower(), field.name)
            if spelt != field.name:
                return (
                    f"the columns {field.name!r} and {spelt!r} differ in case only: query engines can't tell them apart"
                )
            kind = stored_type(field.type)
            known = self._types.get(field.name)
            found = kind if known is None else merge_types(known, kind)
            if found is None:
                return f"the column {field.name!r} is {field.type} here, and {known} in an earlier schema of this flush"
            merged[field.name] = found
            folded[field.name.lower()] = field.name
        self._types.update(merged)
        self._by_folded.update(folded)
        return None

    def fields(self, names: set[str]) -> list[pa.Field]:
        """Return the named columns in the union's order."""
        return [pa.field(name, kind) for name, kind in self._types.items() if name in names]


def stored_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column has in a file: a column of Avro's null is one of booleans that are all null."""
    return pa.bool_() if pa.types.is_null(kind) else kind


def merge_types(known: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return a type that holds both: records may grow, everything else must be equal. None: they don't fit."""
    if known.equals(other):
        return known
    if pa.types.is_struct(known) and pa.types.is_struct(other):
        return _merge_structs(known, other)
    if pa.types.is_list(known) and pa.types.is_list(other):
        item = merge_types(known.value_type, other.value_type)
        return None if item is None else pa.list_(known.value_field.with_type(item))
    if pa.types.is_map(known) and pa.types.is_map(other) and known.key_type.equals(other.key_type):
        item = merge_types(known.item_type, other.item_type)
        return None if item is None else pa.map_(known.key_field, known.item_field.with_type(item))
    return None


def _merge_structs(known: pa.StructType, other: pa.StructType) -> pa.DataType | None:
    fields = {field.name: field for field in known}
    folded = {name.lower() for name in fields}
    for field in other:
        if field.name in fields:
            item = merge_types(fields[field.name].type, field.type)
            if item is None:
                return None
            fields[field.name] = fields[field.name].with_type(item)
        elif field.name.lower() in folded:
            return None
        else:
            fields[field.name] = field.with_nullable(True)
            folded.add(field.name.lower())
    return pa.struct(list(fields.values()))


def conform(columns: pa.RecordBatch | None, rows: int, fields: list[pa.Field]) -> pa.RecordBatch:
    """Return the columns as `fields` wants them: null where they lack one, records grown to the field's type."""
    arrays = []
    for field in fields:
        at = columns.schema.get_field_index(field.name) if columns is not None else -1
        if columns is None or at < 0:
            arrays.append(pa.nulls(rows, field.type))
        else:
            array = columns.column(at)
            arrays.append(array if array.type.equals(field.type) else array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
