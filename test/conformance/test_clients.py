"""The real Python clients, over both protocols."""

import json
import os
import queue
import re
import shlex
import subprocess
import threading
import urllib.error
import urllib.request

import grpc as library
import numpy
import pytest
from conftest import VERSION, make
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

TYPES = {
    "BOOL": numpy.bool_,
    "UINT8": numpy.uint8,
    "UINT16": numpy.uint16,
    "UINT32": numpy.uint32,
    "UINT64": numpy.uint64,
    "INT8": numpy.int8,
    "INT16": numpy.int16,
    "INT32": numpy.int32,
    "INT64": numpy.int64,
    "FP16": numpy.float16,
    "FP32": numpy.float32,
    "FP64": numpy.float64,
}


def sample(wire_type, rows):
    if wire_type == "BYTES":
        texts = ["", "a", "Grüße", "日本語", "x" * 1000]
        return numpy.array([[f"{row}{text}".encode() for text in texts] for row in range(rows)], dtype=numpy.object_)
    kind = TYPES[wire_type]
    if kind is numpy.bool_:
        return numpy.arange(rows * 5).reshape(rows, 5) % 2 == 0
    if numpy.issubdtype(kind, numpy.integer):
        limits = numpy.iinfo(kind)
        return numpy.array([[limits.min, limits.max, 0, 1, row] for row in range(rows)], dtype=kind)
    limits = numpy.finfo(kind)
    return numpy.array([[limits.min, limits.max, 0.1, -0.0, row] for row in range(rows)], dtype=kind)


def add_sub_inputs(wire, rows=1, binary=True):
    a = numpy.arange(rows * 16, dtype=numpy.float32).reshape(rows, 16)
    b = numpy.full((rows, 16), 2, numpy.float32)
    return a, b, [wire.input("INPUT0", a, "FP32", binary), wire.input("INPUT1", b, "FP32", binary)]


# Health and metadata


def test_live_and_ready(wire):
    assert wire.client.is_server_live()
    assert wire.client.is_server_ready()
    assert wire.client.is_model_ready("add_sub")
    assert wire.client.is_model_ready("versions", "3")


def test_health_of_grpc():
    with library.insecure_channel(os.environ["GRPC_ADDRESS"]) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        # HealthCheckResponse { status: SERVING }
        assert check(b"", timeout=10) == b"\x08\x01"


def test_unknown_model_is_not_ready(wire):
    if wire.name == "grpc" and VERSION == "2.73":
        with pytest.raises(InferenceServerException, match="NOT_FOUND"):
            wire.client.is_model_ready("nobody")
    else:
        assert not wire.client.is_model_ready("nobody")


def test_server_metadata(wire):
    metadata = wire.as_dict("get_server_metadata")
    assert metadata["name"] == "triton"
    assert {"classification", "sequence", "model_repository", "binary_tensor_data", "statistics"} <= set(metadata["extensions"])


def test_model_metadata(wire):
    metadata = wire.as_dict("get_model_metadata", "add_sub")
    assert metadata["name"] == "add_sub"
    assert metadata["versions"] == ["1"]
    assert metadata["platform"] == "onnxruntime_onnx"
    assert [(i["name"], i["datatype"], [int(d) for d in i["shape"]]) for i in metadata["inputs"]] == [
        ("INPUT0", "FP32", [-1, 16]),
        ("INPUT1", "FP32", [-1, 16]),
    ]


def test_versions_that_are_no_number(grpc):
    tensor = grpc.input("INPUT", numpy.array([[10]], numpy.float32), "FP32")
    of_text = "failed to get model version from specified version string 'abc' (details: stol)"
    for version, what in (("abc", of_text), ("-1", "invalid model version specified '-1' ")):
        text = f"{what}, version should be an integral value > 0"
        with pytest.raises(InferenceServerException) as raised:
            grpc.client.infer("versions", [tensor], model_version=version)
        assert (raised.value.status(), raised.value.message()) == ("StatusCode.INVALID_ARGUMENT", text)


def test_versions_of_a_policy(wire):
    assert sorted(wire.as_dict("get_model_metadata", "versions")["versions"]) == ["1", "3"]
    for version, expected in (("1", 11), ("3", 13), ("", 13)):
        tensor = wire.input("INPUT", numpy.array([[10]], numpy.float32), "FP32")
        result = wire.client.infer("versions", [tensor], model_version=version)
        assert result.as_numpy("OUTPUT")[0, 0] == expected
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'versions' version 2 is not found"):
        wire.client.infer("versions", [tensor], model_version="2")


def test_config(wire):
    config = wire.as_dict("get_model_config", "add_sub")
    config = config.get("config", config)
    assert config["name"] == "add_sub"
    assert config["max_batch_size"] == 8
    assert config["dynamic_batching"]["preferred_batch_size"] == [4]
    assert config["instance_group"][0]["name"]
    assert config["input"][0]["dims"] in (["16"], [16])


def test_config_that_the_server_filled_in(wire):
    config = wire.as_dict("get_model_config", "without_config")
    config = config.get("config", config)
    assert config["max_batch_size"] == 4
    assert config["input"][0]["data_type"] == "TYPE_INT32"
    assert config["input"][0]["dims"] in (["4"], [4])
    assert "dynamic_batching" in config
    tensor = wire.input("INPUT", numpy.array([[1, 2, 3, 4]], numpy.int32), "INT32")
    assert wire.client.infer("without_config", [tensor]).as_numpy("OUTPUT").tolist() == [[2, 4, 6, 8]]


# Every data type, binary and JSON


@pytest.mark.parametrize("kind", [*TYPES, "BYTES"])
@pytest.mark.parametrize("rows", [1, 3])
def test_every_data_type(wire, kind, rows):
    array = sample(kind, rows)
    result = wire.client.infer(f"identity_{kind.lower()}", [wire.input("INPUT", array, kind)])
    output = result.as_numpy("OUTPUT")
    assert np_to_triton_dtype(output.dtype) == kind
    assert numpy.array_equal(output, array)


@pytest.mark.parametrize("kind", [kind for kind in [*TYPES, "BYTES"] if kind != "FP16"])
def test_every_data_type_as_json(http, kind):
    array = sample(kind, 2)
    result = http.client.infer(
        f"identity_{kind.lower()}", [http.input("INPUT", array, kind, binary=False)], outputs=[http.output("OUTPUT", binary=False)]
    )
    output = result.as_numpy("OUTPUT")
    if kind == "BYTES":
        output = numpy.array([[cell if isinstance(cell, bytes) else cell.encode() for cell in row] for row in output], dtype=numpy.object_)
    assert numpy.array_equal(output, array)


def test_fp16_is_refused_as_json(http):
    with pytest.raises(InferenceServerException, match="(?i)FP16"):
        http.client.infer("identity_fp16", [http.input("INPUT", sample("FP16", 1), "FP16")], outputs=[http.output("OUTPUT", binary=False)])


def test_json_and_binary_may_be_mixed(http):
    a, b, _ = add_sub_inputs(http)
    inputs = [http.input("INPUT0", a, "FP32", binary=True), http.input("INPUT1", b, "FP32", binary=False)]
    result = http.client.infer("add_sub", inputs, outputs=[http.output("OUTPUT0", binary=False), http.output("OUTPUT1", binary=True)])
    assert numpy.array_equal(result.as_numpy("OUTPUT0"), a + b)
    assert numpy.array_equal(result.as_numpy("OUTPUT1"), a - b)


def test_empty_tensor(wire):
    array = numpy.zeros((1, 0), numpy.float32)
    result = wire.client.infer("identity_fp32", [wire.input("INPUT", array, "FP32")])
    assert result.as_numpy("OUTPUT").shape == (1, 0)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(wire, algorithm):
    a, b, inputs = add_sub_inputs(wire, 4)
    if wire.name == "http":
        result = wire.client.infer(
            "add_sub", inputs, request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
        )
    else:
        result = wire.client.infer("add_sub", inputs, compression_algorithm=algorithm)
    assert numpy.array_equal(result.as_numpy("OUTPUT0"), a + b)


def test_id_and_asked_outputs(wire):
    a, b, inputs = add_sub_inputs(wire)
    result = wire.client.infer("add_sub", inputs, outputs=[wire.output("OUTPUT1")], request_id="my id")
    response = result.get_response()
    assert (response["id"] if wire.name == "http" else response.id) == "my id"
    assert result.as_numpy("OUTPUT0") is None
    assert numpy.array_equal(result.as_numpy("OUTPUT1"), a - b)


def test_sixteen_megabytes(wire):
    array = numpy.random.default_rng(1).random(4 * 1024 * 1024, dtype=numpy.float32)
    result = wire.client.infer("big", [wire.input("INPUT", array, "FP32")])
    assert numpy.array_equal(result.as_numpy("OUTPUT"), array)


# Extensions


def test_classification(wire):
    a = numpy.array([[0, 5, 9] + [0] * 13, [7] + [0] * 15], numpy.float32)
    zero = numpy.zeros((2, 16), numpy.float32)
    inputs = [wire.input("INPUT0", a, "FP32"), wire.input("INPUT1", zero, "FP32")]
    result = wire.client.infer("add_sub", inputs, outputs=[wire.output("OUTPUT0", class_count=2), wire.output("OUTPUT1", class_count=1)])
    assert result.as_numpy("OUTPUT0")[:, 0].tolist() == [b"9.000000:2:label 2", b"7.000000:0:label 0"]
    assert result.as_numpy("OUTPUT0")[0, 1] == b"5.000000:1:label 1"
    assert result.as_numpy("OUTPUT1")[0, 0] == b"9.000000:2"


def test_ensemble(wire):
    a = numpy.arange(32, dtype=numpy.float32).reshape(2, 16)
    b = numpy.full((2, 16), 3, numpy.float32)
    result = wire.client.infer("ensemble", [wire.input("A", a, "FP32"), wire.input("B", b, "FP32")])
    assert numpy.array_equal(result.as_numpy("SUM"), a + b)
    assert numpy.array_equal(result.as_numpy("SUM_MINUS_B"), a)


@pytest.mark.skipif(VERSION == "2.51", reason="there the models run in Triton's Python backend, which keeps no state for them")
def test_sequence_keeps_its_state(wire):
    def send(sequence, number, start=False, end=False):
        tensor = wire.input("INPUT", numpy.array([[number]], numpy.float32), "FP32")
        result = wire.client.infer("accumulator", [tensor], sequence_id=sequence, sequence_start=start, sequence_end=end)
        return float(result.as_numpy("OUTPUT")[0, 0])

    assert send(1001, 1, start=True) == 1
    assert send(1002, 10, start=True) == 10
    assert send(1001, 2) == 3
    assert send(1002, 20) == 30
    assert send(1001, 3, end=True) == 6
    with pytest.raises(InferenceServerException, match="START"):
        send(1001, 4)
    assert send(1001, 5, start=True, end=True) == 5
    assert send(1002, 30, end=True) == 60


OWN = pytest.mark.skipif(VERSION == "2.51", reason="the model is written in TypeScript")


def streamed(grpc, requests, final=False):
    """What a stream answers to requests, each a request's id, inputs and options; as (id, result or error), until no more comes."""
    answers = queue.Queue()
    grpc.client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for name, inputs in requests:
        grpc.client.async_stream_infer("repeat", inputs, request_id=name, enable_empty_final_response=final)
    # Closes the client's side, and waits for all that is still to come.
    grpc.client.stop_stream()
    return list(answers.queue)


def repeat_inputs(grpc, values, delay=None):
    inputs = [grpc.input("IN", numpy.array(values, numpy.int32), "INT32")]
    if delay is not None:
        inputs.append(grpc.input("DELAY", numpy.array([delay], numpy.uint32), "UINT32"))
    return inputs


@OWN
def test_a_decoupled_model_streams_its_responses(grpc):
    answers = streamed(grpc, [("a", repeat_inputs(grpc, [4, 2, 0, 1]))])
    assert [error for _, error in answers] == [None] * 4
    assert [int(result.as_numpy("OUT")[0]) for result, _ in answers] == [4, 2, 0, 1]
    assert [int(result.as_numpy("IDX")[0]) for result, _ in answers] == [0, 1, 2, 3]
    assert {result.get_response().id for result, _ in answers} == {"a"}
    assert not any("triton_final_response" in result.get_response().parameters for result, _ in answers)


@OWN
def test_a_decoupled_model_ends_with_an_empty_response_where_that_is_asked_for(grpc):
    for values in ([7, 8], []):
        answers = [result.get_response() for result, error in streamed(grpc, [("a", repeat_inputs(grpc, values))], final=True)]
        assert [answer.parameters["triton_final_response"].bool_param for answer in answers] == [False] * len(values) + [True]
        assert len(answers[-1].outputs) == 0
        assert (answers[-1].model_name, answers[-1].model_version, answers[-1].id) == ("repeat", "1", "a")


@OWN
def test_requests_to_a_decoupled_model_run_beside_each_other(grpc):
    answers = streamed(grpc, [("slow", repeat_inputs(grpc, [1, 2], 300)), ("fast", repeat_inputs(grpc, [3, 4], 1))])
    assert [result.get_response().id for result, _ in answers] == ["fast", "fast", "slow", "slow"]


@OWN
def test_a_failure_of_a_decoupled_model_comes_behind_its_responses_and_the_stream_goes_on(grpc):
    answers = streamed(grpc, [("bad", repeat_inputs(grpc, [5, -1, 6])), ("good", repeat_inputs(grpc, [9], 200))])
    assert [error is None for _, error in answers] == [True, False, True]
    assert "IN must not be negative, and is -1" in answers[1][1].message()
    assert int(answers[2][0].as_numpy("OUT")[0]) == 9


@OWN
def test_a_decoupled_model_can_not_be_inferred(wire):
    where = "HTTP end point" if wire.name == "http" else "ModelInfer RPC"
    with pytest.raises(InferenceServerException, match=f"{where} doesn't support models with decoupled transaction policy"):
        wire.client.infer("repeat", [wire.input("IN", numpy.array([1], numpy.int32), "INT32")])


@OWN
def test_a_decoupled_model_generates_a_stream():
    url = f"http://{os.environ['HTTP_ADDRESS']}/v2/models/repeat/generate_stream"
    request = urllib.request.Request(url, data=json.dumps({"IN": [3, 1], "id": "g"}).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = [json.loads(line.removeprefix("data: ")) for line in answer.read().decode().split("\n\n") if line != ""]
    assert [(event["OUT"], event["IDX"], event["id"]) for event in events] == [(3, 0, "g"), (1, 1, "g")]


@OWN
def test_a_cached_response_is_not_computed_again(wire):
    def runs(value):
        tensor = wire.input("INPUT", numpy.full(4, value, numpy.float32), "FP32")
        return int(wire.client.infer("cached", [tensor]).as_numpy("RUNS")[0])

    def counts():
        stats = wire.as_dict("get_inference_statistics", "cached")["model_stats"][0]
        own = stats["inference_stats"]
        return [int(stats.get("execution_count", 0)), *(int(own.get(name, {}).get("count", 0)) for name in ("success", "cache_hit", "cache_miss"))]

    # Each protocol asks something else.
    mine = 10 if wire.name == "http" else 20
    before = counts()
    first, again, other = runs(mine), runs(mine), runs(mine + 1)
    assert again == first
    assert other == first + 1
    assert [now - then for now, then in zip(counts(), before)] == [2, 3, 1, 2]


@OWN
def test_metrics_tell_of_the_cache():
    with urllib.request.urlopen(f"http://{os.environ['METRICS_ADDRESS']}/metrics", timeout=60) as answer:
        lines = answer.read().decode().split("\n")
    for name in ("num_hits", "num_misses", "hit_duration", "miss_duration"):
        assert [line for line in lines if line.startswith(f"nv_cache_{name}_per_model{{")] == [
            line for line in lines if line.startswith(f'nv_cache_{name}_per_model{{model="cached",version="1"}} ')
        ]
        assert any(line.startswith(f'nv_cache_{name}_per_model{{model="cached",') for line in lines)


def test_statistics(wire):
    before = wire.as_dict("get_inference_statistics", "add_sub")["model_stats"][0]
    _, _, inputs = add_sub_inputs(wire, 2)
    for _ in range(5):
        wire.client.infer("add_sub", inputs)
    count = lambda stats: int(stats["inference_stats"]["success"].get("count", 0)) if "inference_stats" in stats else 0
    # Counters may trail the answers slightly.
    for _ in range(100):
        after = wire.as_dict("get_inference_statistics", "add_sub")["model_stats"][0]
        if count(after) == count(before) + 5:
            break
    assert count(after) == count(before) + 5
    assert int(after["inference_count"]) == int(before.get("inference_count", 0)) + 10
    assert int(after["execution_count"]) > int(before.get("execution_count", 0))
    assert any(int(batch["batch_size"]) == 2 for batch in after["batch_stats"])
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert int(after["inference_stats"][part]["ns"]) > 0


def test_statistics_over_http_have_every_member(http):
    stats = http.client.get_inference_statistics("add_sub")["model_stats"][0]
    for part in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"):
        assert isinstance(stats["inference_stats"][part]["count"], int)
        assert isinstance(stats["inference_stats"][part]["ns"], int)


def test_repository_index_load_and_unload(wire):
    names = lambda: {m["name"]: m.get("state") for m in index()}

    def index():
        found = wire.as_dict("get_model_repository_index")
        return found["models"] if isinstance(found, dict) else found

    assert names()["add_sub"] == "READY"
    wire.client.unload_model("unbatched")
    for _ in range(200):
        if names()["unbatched"] == "UNAVAILABLE":
            break
    assert not wire.client.is_model_ready("unbatched") if wire.name == "http" or VERSION == "2.51" else True
    tensor = wire.input("INPUT", numpy.zeros((2, 3), numpy.float32), "FP32")
    with pytest.raises(InferenceServerException, match="'unbatched'"):
        wire.client.infer("unbatched", [tensor])
    wire.client.load_model("unbatched")
    assert names()["unbatched"] == "READY"
    assert wire.client.infer("unbatched", [tensor]).as_numpy("OUTPUT").shape == (2, 3)


def test_load_with_another_configuration(wire):
    config = json.dumps({"backend": "onnxruntime", "max_batch_size": 2})
    wire.client.load_model("without_config", config=config)
    try:
        loaded = wire.as_dict("get_model_config", "without_config")
        assert loaded.get("config", loaded)["max_batch_size"] == 2
    finally:
        wire.client.unload_model("without_config")
        wire.client.load_model("without_config")


# Errors


def error_of(wire, model, inputs, **kwargs):
    with pytest.raises(InferenceServerException) as raised:
        wire.client.infer(model, inputs, **kwargs)
    return raised.value


def test_errors(wire):
    a, b, inputs = add_sub_inputs(wire)
    status = lambda number, name: str(number) if wire.name == "http" else f"StatusCode.{name}"
    found = error_of(wire, "nobody", inputs)
    assert "Request for unknown model: 'nobody' is not found" in found.message()
    assert found.status() == status(404, "NOT_FOUND")

    found = error_of(wire, "add_sub", inputs[:1])
    assert "expected 2 inputs but got 1 inputs for model 'add_sub'" in found.message()
    assert found.status() == status(400, "INVALID_ARGUMENT")

    wrong = [wire.input("INPUT0", a[:, :8].copy(), "FP32"), inputs[1]]
    assert "unexpected shape for input 'INPUT0' for model 'add_sub'. Expected [-1,16], got [1,8]" in error_of(wire, "add_sub", wrong).message()

    wrong = [wire.input("INPUT0", a.astype(numpy.int32), "INT32"), inputs[1]]
    assert "data-type is 'INT32', but model 'add_sub' expects 'FP32'" in error_of(wire, "add_sub", wrong).message()

    wrong = [wire.input("INPUT9", a, "FP32"), inputs[1]]
    assert "'INPUT9'" in error_of(wire, "add_sub", wrong).message()

    _, _, many = add_sub_inputs(wire, 9)
    assert "batch-size must be <= 8 for 'add_sub'" in error_of(wire, "add_sub", many).message()

    found = error_of(wire, "add_sub", inputs, outputs=[wire.output("NOTHING")])
    assert "unexpected inference output 'NOTHING' for model 'add_sub'" in found.message()


def test_errors_of_http_are_json(http):
    request = urllib.request.Request(f"http://{os.environ['HTTP_ADDRESS']}/v2/models/add_sub/infer", data=b'{"inputs": 3}', method="POST")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request)
    assert set(json.loads(raised.value.read())) == {"error"}


# Many at once, streams


def test_thirty_two_clients(wire):
    failures = []

    def work(number):
        own = make(wire.name)
        try:
            for turn in range(20):
                array = numpy.full((1, 16), number * 100 + turn, numpy.float32)
                result = own.client.infer("add_sub", [own.input("INPUT0", array, "FP32"), own.input("INPUT1", array, "FP32")])
                if not numpy.array_equal(result.as_numpy("OUTPUT0"), 2 * array):
                    failures.append((number, turn))
        except Exception as thrown:
            failures.append((number, repr(thrown)))
        finally:
            own.client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_stream(grpc):
    answers = queue.Queue()
    grpc.client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for number in range(10):
        array = numpy.full((1, 16), number, numpy.float32)
        grpc.client.async_stream_infer("add_sub", [grpc.input("INPUT0", array, "FP32"), grpc.input("INPUT1", array, "FP32")], request_id=str(number))
    grpc.client.async_stream_infer("nobody", [grpc.input("INPUT0", array, "FP32")], request_id="lost")
    grpc.client.async_stream_infer("add_sub", [grpc.input("INPUT0", array, "FP32"), grpc.input("INPUT1", array, "FP32")], request_id="last")
    found = [answers.get(timeout=20) for _ in range(12)]
    grpc.client.stop_stream()
    # In order, and an error does not end the stream.
    assert [result.get_response().id for result, error in found if error is None] == [*map(str, range(10)), "last"]
    assert ["nobody" in error.message() for _, error in found if error is not None] == [True]
    assert found[10][1] is not None


def test_asynchronous(wire):
    a, b, inputs = add_sub_inputs(wire)
    if wire.name == "http":
        results = [wire.client.async_infer("add_sub", inputs).get_result() for _ in range(8)]
    else:
        answers = queue.Queue()
        for _ in range(8):
            wire.client.async_infer("add_sub", inputs, callback=lambda result, error: answers.put(error or result))
        results = [answers.get(timeout=20) for _ in range(8)]
    assert all(numpy.array_equal(result.as_numpy("OUTPUT0"), a + b) for result in results)


# perf_analyzer

PERF_ANALYZER = os.environ.get("PERF_ANALYZER", "")


@pytest.mark.skipif(PERF_ANALYZER == "", reason="perf_analyzer needs glibc 2.38")
@pytest.mark.parametrize("model", ["add_sub", "ensemble", "identity_bytes"])
def test_perf_analyzer(wire, model):
    address = os.environ["HTTP_ADDRESS" if wire.name == "http" else "GRPC_ADDRESS"]
    shape = ["--shape", "INPUT:5"] if model.startswith("identity") else []
    # A fixed number of requests: what it measures is no matter here, and a busy machine never looks stable to it.
    options = ["--concurrency-range", "4", "--request-count", "200", "-s", "100000", *shape]
    command = [*shlex.split(PERF_ANALYZER), "-m", model, "-i", wire.name, "-u", address, *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    # What the client counts, and what it reads of the server's statistics.
    assert "Request count: 200" in run.stdout
    # Of those a few may be outside of the window between its two looks.
    counted = re.search(r"Successful request count: (\d+)", run.stdout)
    assert counted is not None and 150 <= int(counted[1]) <= 200, run.stdout


# Settings, shared memory


def test_settings(wire):
    assert "trace_level" in json.dumps(wire.as_dict("get_trace_settings"))
    assert "log_info" in json.dumps(wire.as_dict("get_log_settings"))


@pytest.mark.skipif(VERSION == "2.51", reason="2.51 lets clients share memory")
def test_shared_memory_is_off(wire):
    with pytest.raises(InferenceServerException, match="Client shared memory is disabled"):
        wire.client.register_system_shared_memory("region", "/key", 64)


# Last, since a model that failed makes the server unready


def test_a_broken_model_says_why(wire):
    with pytest.raises(InferenceServerException, match="broken"):
        wire.client.load_model("broken")
    with pytest.raises(InferenceServerException, match="failed to load 'no_such_model', failed to poll from model repository"):
        wire.client.load_model("no_such_model")
    assert wire.client.is_server_live()
