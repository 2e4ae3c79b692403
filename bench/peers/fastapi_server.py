"""FastAPI, batched by hand: what is waiting when the model is idle, sixteen rows at most; the model has a thread of its own."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated

import numpy
import uvicorn
from annotated_types import Len
from fastapi import FastAPI
from pydantic import BaseModel

from model import load_model

session = load_model()
waiting = asyncio.Queue()
thread = ThreadPoolExecutor(max_workers=1)


def run_model(rows):
    return session.run(["y"], {"x": numpy.asarray(rows, dtype=numpy.float32)})[0].tolist()


async def run_batches():
    loop = asyncio.get_running_loop()
    while True:
        batch = [await waiting.get()]
        while len(batch) < 16 and not waiting.empty():
            batch.append(waiting.get_nowait())
        for (_, result), y in zip(batch, await loop.run_in_executor(thread, run_model, [x for x, _ in batch])):
            result.set_result(y)


@asynccontextmanager
async def lifespan(_):
    task = asyncio.create_task(run_batches())
    yield
    task.cancel()


class Row(BaseModel):
    x: Annotated[list[float], Len(64, 64)]


class Scores(BaseModel):
    y: list[float]


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(row: Row) -> Scores:
    result = asyncio.get_running_loop().create_future()
    waiting.put_nowait((row.x, result))
    return Scores(y=await result)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), log_level="warning", access_log=False, loop="uvloop", http="httptools")
