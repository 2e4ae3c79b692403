"""Makes the model repository that the conformance suite asks: ONNX models written by the `onnx` package, and their configurations.

usage: python make_repository.py FOLDER
"""

import pathlib
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

# Wire name -> (name in config.pbtxt, ONNX type)
TYPES = {
    "BOOL": ("TYPE_BOOL", TensorProto.BOOL),
    "UINT8": ("TYPE_UINT8", TensorProto.UINT8),
    "UINT16": ("TYPE_UINT16", TensorProto.UINT16),
    "UINT32": ("TYPE_UINT32", TensorProto.UINT32),
    "UINT64": ("TYPE_UINT64", TensorProto.UINT64),
    "INT8": ("TYPE_INT8", TensorProto.INT8),
    "INT16": ("TYPE_INT16", TensorProto.INT16),
    "INT32": ("TYPE_INT32", TensorProto.INT32),
    "INT64": ("TYPE_INT64", TensorProto.INT64),
    "FP16": ("TYPE_FP16", TensorProto.FLOAT16),
    "FP32": ("TYPE_FP32", TensorProto.FLOAT),
    "FP64": ("TYPE_FP64", TensorProto.DOUBLE),
    "BYTES": ("TYPE_STRING", TensorProto.STRING),
}


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def write_model(folder, name, nodes, inputs, outputs, config=None, initializers=(), version=1):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    place = pathlib.Path(folder) / name / str(version)
    place.mkdir(parents=True, exist_ok=True)
    onnx.save(model, place / "model.onnx")
    if config is not None:
        (place.parent / "config.pbtxt").write_text(config)


def identity(folder, wire):
    kind, onnx_type = TYPES[wire]
    name = f"identity_{wire.lower()}"
    write_model(
        folder,
        name,
        [helper.make_node("Identity", ["INPUT"], ["OUTPUT"])],
        [value("INPUT", onnx_type, ["batch", "length"])],
        [value("OUTPUT", onnx_type, ["batch", "length"])],
        f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: 8
input [{{ name: "INPUT" data_type: {kind} dims: [-1] }}]
output [{{ name: "OUTPUT" data_type: {kind} dims: [-1] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
dynamic_batching {{ }}
""",
    )


def add_sub(folder):
    write_model(
        folder,
        "add_sub",
        [helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]), helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])],
        [value(f"INPUT{n}", TensorProto.FLOAT, ["batch", 16]) for n in range(2)],
        [value(f"OUTPUT{n}", TensorProto.FLOAT, ["batch", 16]) for n in range(2)],
        """name: "add_sub"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [
  { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] },
  { name: "INPUT1" data_type: TYPE_FP32 dims: [ 16 ] }
]
output [
  { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] label_filename: "labels.txt" },
  { name: "OUTPUT1" data_type: TYPE_FP32 dims: [ 16 ] }
]
dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 100 }
""",
    )
    (pathlib.Path(folder) / "add_sub" / "labels.txt").write_text("".join(f"label {n}\n" for n in range(16)))


def unbatched(folder):
    write_model(
        folder,
        "unbatched",
        [helper.make_node("Identity", ["INPUT"], ["OUTPUT"])],
        [value("INPUT", TensorProto.FLOAT, [2, 3])],
        [value("OUTPUT", TensorProto.FLOAT, [2, 3])],
        """name: "unbatched"
backend: "onnxruntime"
input { name: "INPUT" data_type: TYPE_FP32 dims: [ 2, 3 ] }
output { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 2, 3 ] }
""",
    )
    write_model(
        folder,
        "big",
        [helper.make_node("Identity", ["INPUT"], ["OUTPUT"])],
        [value("INPUT", TensorProto.FLOAT, ["length"])],
        [value("OUTPUT", TensorProto.FLOAT, ["length"])],
        """name: "big"
backend: "onnxruntime"
input { name: "INPUT" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "OUTPUT" data_type: TYPE_FP32 dims: [ -1 ] }
""",
    )


def versions(folder):
    for version in (1, 2, 3):
        constant = numpy_helper.from_array(numpy.array([version], numpy.float32), "constant")
        write_model(
            folder,
            "versions",
            [helper.make_node("Add", ["INPUT", "constant"], ["OUTPUT"])],
            [value("INPUT", TensorProto.FLOAT, ["batch", 1])],
            [value("OUTPUT", TensorProto.FLOAT, ["batch", 1])],
            """name: "versions"
backend: "onnxruntime"
max_batch_size: 4
version_policy { specific { versions: [ 1, 3 ] } }
input { name: "INPUT" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 1 ] }
""",
            [constant],
            version,
        )


def without_config(folder):
    write_model(
        folder,
        "without_config",
        [helper.make_node("Add", ["INPUT", "INPUT"], ["OUTPUT"])],
        [value("INPUT", TensorProto.INT32, ["batch", 4])],
        [value("OUTPUT", TensorProto.INT32, ["batch", 4])],
    )


def ensemble(folder):
    place = pathlib.Path(folder) / "ensemble"
    (place / "1").mkdir(parents=True, exist_ok=True)
    # Its version's folder is empty.
    (place / "config.pbtxt").write_text(
        """name: "ensemble"
platform: "ensemble"
max_batch_size: 8
input [
  { name: "A" data_type: TYPE_FP32 dims: [ 16 ] },
  { name: "B" data_type: TYPE_FP32 dims: [ 16 ] }
]
output [
  { name: "SUM" data_type: TYPE_FP32 dims: [ 16 ] },
  { name: "SUM_MINUS_B" data_type: TYPE_FP32 dims: [ 16 ] }
]
ensemble_scheduling {
  step [
    {
      model_name: "add_sub" model_version: -1
      input_map { key: "INPUT0" value: "A" }
      input_map { key: "INPUT1" value: "B" }
      output_map { key: "OUTPUT0" value: "SUM" }
    },
    {
      model_name: "add_sub" model_version: -1
      input_map { key: "INPUT0" value: "SUM" }
      input_map { key: "INPUT1" value: "B" }
      output_map { key: "OUTPUT1" value: "SUM_MINUS_B" }
    }
  ]
}
"""
    )


def accumulator(folder):
    """Adds up what a sequence sends; the sum is kept by the server. START puts it back to nothing."""
    one = numpy_helper.from_array(numpy.array([1], numpy.float32), "one")
    write_model(
        folder,
        "accumulator",
        [
            helper.make_node("Sub", ["one", "START"], ["keep"]),
            helper.make_node("Mul", ["STATE_IN", "keep"], ["before"]),
            helper.make_node("Add", ["before", "INPUT"], ["OUTPUT"]),
            helper.make_node("Identity", ["OUTPUT"], ["STATE_OUT"]),
        ],
        [value(name, TensorProto.FLOAT, ["batch", 1]) for name in ("INPUT", "START", "STATE_IN")],
        [value(name, TensorProto.FLOAT, ["batch", 1]) for name in ("OUTPUT", "STATE_OUT")],
        """name: "accumulator"
backend: "onnxruntime"
max_batch_size: 4
input { name: "INPUT" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 1 ] }
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  oldest { max_candidate_sequences: 4 }
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
  state {
    input_name: "STATE_IN" output_name: "STATE_OUT" data_type: TYPE_FP32 dims: [ 1 ]
    initial_state { name: "zero" data_type: TYPE_FP32 dims: [ 1 ] zero_data: true }
  }
}
""",
        [one],
    )


def repeat(folder):
    """Decoupled, written in TypeScript: a response for each element, with nothing but its module to say so."""
    place = pathlib.Path(folder) / "repeat" / "1"
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.ts").write_text(
        """import { setTimeout as pause } from "node:timers/promises";
import { ServableError } from "servable";
import { defineModel } from "servable/server";

export default defineModel({
  inputs: { IN: { dataType: "INT32", dims: [-1] }, DELAY: { dataType: "UINT32", dims: [1], optional: true } },
  outputs: { OUT: { dataType: "INT32", dims: [1] }, IDX: { dataType: "UINT32", dims: [1] } },
  async *run({ IN, DELAY }, { signal }) {
    for (const [index, value] of IN.data.entries()) {
      if (DELAY !== undefined) await pause(DELAY.data[0], undefined, { signal });
      if (value < 0) throw new ServableError("invalid_request", `IN must not be negative, and is ${value}`);
      yield {
        OUT: { dataType: "INT32", shape: [1], data: Int32Array.of(value) },
        IDX: { dataType: "UINT32", shape: [1], data: Uint32Array.of(index) },
      };
    }
  },
});
"""
    )


def cached(folder):
    """Tells how often it has run, and does not run for what it was asked before."""
    place = pathlib.Path(folder) / "cached" / "1"
    place.mkdir(parents=True, exist_ok=True)
    (place.parent / "config.pbtxt").write_text(
        """backend: "typescript"
input { name: "INPUT" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "RUNS" data_type: TYPE_INT32 dims: [ 1 ] }
response_cache { enable: true }
"""
    )
    (place / "model.ts").write_text(
        """import { defineModel } from "servable/server";

let runs = 0;

export default defineModel({
  run: () => ({ RUNS: { dataType: "INT32", shape: [1], data: Int32Array.of((runs += 1)) } }),
});
"""
    )


def broken(folder):
    place = pathlib.Path(folder) / "broken" / "1"
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.onnx").write_bytes(b"this is no model")


def main(folder):
    for wire in TYPES:
        identity(folder, wire)
    add_sub(folder)
    unbatched(folder)
    versions(folder)
    without_config(folder)
    ensemble(folder)
    accumulator(folder)
    repeat(folder)
    cached(folder)
    broken(folder)


if __name__ == "__main__":
    main(sys.argv[1])
