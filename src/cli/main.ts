#!/usr/bin/env node
/** The command line tool. `cli/` is the only place that reads process signals or ends the process. */
import { Command, CommanderError } from "commander";
import { ServableError } from "../errors.ts";
import { addBatch } from "./batch.ts";
import { addCall } from "./call.ts";
import { addInit } from "./init.ts";
import { addModels } from "./models.ts";
import { readPackageFacts } from "./package-facts.ts";
import { callErrorLine, errorLine, errorWithStack, exitCodeOf, writeError } from "./print.ts";
import { addRun } from "./run.ts";
import { addServe } from "./serve.ts";
import { addTriton } from "./triton.ts";

const usageExitCode = 2;
// From version 1.30 on onnxruntime tells its maker of each model that is loaded. Set here, since a worker's environment is a copy that
// native code does not see. A user's choice is left alone.
process.env.ORT_DISABLE_TELEMETRY ??= "1";
const examples = `
Examples:
  npx servable init my-service
  npx servable serve ./double.ts
  npx servable call double '{"x":1}'
  npx servable run --config servable.yaml
  npx servable batch ./double.ts in.jsonl out.jsonl
  npx servable models --model-repository ./models
  npx servable triton config mlp.onnx
`;

function createProgram(): Command {
  const program = new Command("servable")
    .description("Turns typed TypeScript functions around models into inference services.")
    .version(readPackageFacts().version, "-v, --version")
    .option("--debug", "print the stack of what goes wrong")
    .addHelpText("after", examples)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      outputError: (text, write) => {
        write(errorLine(text.replace(/^error: /, "")));
      },
    })
    .exitOverride();
  addServe(program);
  addRun(program);
  addCall(program);
  addBatch(program);
  addModels(program);
  addTriton(program);
  addInit(program);
  return program;
}

async function main(): Promise<void> {
  const program = createProgram();
  try {
    await program.parseAsync();
  } catch (thrown) {
    // commander has printed its own.
    if (thrown instanceof CommanderError) process.exit(thrown.exitCode === 0 ? 0 : usageExitCode);
    const isDebug = program.opts<{ readonly debug?: true }>().debug === true || process.env.SERVABLE_DEBUG === "1";
    const isOfCall = program.args[0] === "call" && ServableError.isInstance(thrown) && thrown.code !== "invalid_argument";
    await writeError((isOfCall ? callErrorLine(thrown) : errorLine(thrown)) + (isDebug ? errorWithStack(thrown) : ""));
    // What a service that failed to start left behind (timers, sockets) must not keep the process alive.
    process.exit(exitCodeOf(thrown));
  }
}

await main();
