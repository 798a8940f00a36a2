"""Event types: Avro schemas as the source of truth, typed classes made from them, the codec, the evolution rules."""
