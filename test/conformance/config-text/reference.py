"""The reference for config.pbtxt: protobuf's own text_format and json_format on the model_config.proto that tritonclient carries.

usage: reference.py make SEED COUNT                     random configurations, each in some style of the text format: a JSON list of texts
       reference.py compare < [[text, text, json], ...]  what differs in meaning, or is refused: a JSON list of reasons
"""

import json
import random
import struct
import sys

from google.protobuf import json_format, text_format
from google.protobuf.descriptor import FieldDescriptor
from tritonclient.grpc.model_config_pb2 import ModelConfig

# No tensor is longer than doubles are exact; all other 64-bit fields take all 64 bits.
LENGTHS = {"dims", "shape", "dim"}
PIECES = ["a", "Z", "0", "7", " ", "\n", "\t", "\0", "\x7f", '"', "'", "\\", "{", "#", "ä", "日", "\U0001f600", "\u2028", "x41"]


def scalar(field, dice):
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        return "".join(dice.choices(PIECES, k=dice.randrange(6)))
    if kind == FieldDescriptor.TYPE_BOOL:
        return dice.random() < 0.5
    if kind == FieldDescriptor.TYPE_ENUM:
        return dice.choice(field.enum_type.values).number
    if kind in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        bits = dice.randbytes(8)
        value = struct.unpack("<d", bits)[0] if kind == FieldDescriptor.TYPE_DOUBLE else struct.unpack("<f", bits[:4])[0]
        return dice.choice([value, 0.0, 1.0, -0.5, 0.1, float("inf"), float("-inf")]) if value == value else 1.5
    signed = kind in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64)
    bits = 32 if kind in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32) else 53 if field.name in LENGTHS else 64
    most = 2 ** (bits - (1 if signed and bits != 53 else 0)) - 1
    least = -most if signed and bits == 53 else -most - 1 if signed else 0
    return dice.choice([least, most, 0, 1, dice.randint(least, most), dice.randint(0, 9)])


def fill(message, dice):
    for field in message.DESCRIPTOR.fields:
        if dice.random() < 0.6:
            continue
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            entries = getattr(message, field.name)
            for _ in range(dice.randrange(1, 4)):
                key = scalar(inner.fields_by_name["key"], dice)
                value = inner.fields_by_name["value"]
                if value.message_type is None:
                    entries[key] = scalar(value, dice)
                else:
                    fill(entries[key], dice)
        elif field.is_repeated:
            items = getattr(message, field.name)
            for _ in range(dice.randrange(1, 4)):
                if inner is None:
                    items.append(scalar(field, dice))
                else:
                    fill(items.add(), dice)
        elif inner is None:
            setattr(message, field.name, scalar(field, dice))
        else:
            part = getattr(message, field.name)
            part.SetInParent()
            fill(part, dice)


def make(seed, count):
    dice = random.Random(seed)
    texts = []
    for _ in range(count):
        message = ModelConfig()
        fill(message, dice)
        texts.append(
            text_format.MessageToString(
                message,
                as_utf8=dice.random() < 0.5,
                as_one_line=dice.random() < 0.3,
                use_short_repeated_primitives=dice.random() < 0.5,
                pointy_brackets=dice.random() < 0.3,
                use_index_order=dice.random() < 0.5,
            )
        )
    return texts


def compare(rows):
    reasons = []
    for number, (text, other, printed) in enumerate(rows):
        try:
            meaning = text_format.Parse(text, ModelConfig())
            for what, got in (
                ("text", text_format.Parse(other, ModelConfig())),
                ("JSON", json_format.Parse(printed, ModelConfig())),
            ):
                if got.SerializeToString(deterministic=True) != meaning.SerializeToString(deterministic=True):
                    reasons.append(f"row {number}: the {what} means something else")
        except (text_format.ParseError, json_format.ParseError) as error:
            reasons.append(f"row {number}: {error}")
    return reasons


if __name__ == "__main__":
    answer = make(int(sys.argv[2]), int(sys.argv[3])) if sys.argv[1] == "make" else compare(json.load(sys.stdin))
    json.dump(answer, sys.stdout)
