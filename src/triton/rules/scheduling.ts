import type {
  ModelConfig,
  ModelDynamicBatching,
  ModelQueuePolicy,
  ModelSequenceBatching,
  ModelSequenceControl,
  ModelSequenceState,
} from "../model-config.ts";
import { repeated, type Problems } from "./problem.ts";
import { isDimension } from "./shapes.ts";

/** The rules of the schedulers, and of what excludes them. */
export function checkScheduling(config: ModelConfig, problems: Problems): void {
  const { dynamicBatching, sequenceBatching } = config;
  const chosen = [dynamicBatching, sequenceBatching, config.ensembleScheduling].filter((one) => one !== undefined);
  if (chosen.length > 1) problems.add([], "of dynamic_batching, sequence_batching and ensemble_scheduling there may be one");
  if (dynamicBatching !== undefined) checkDynamic(config, dynamicBatching, problems.at("dynamic_batching"));
  if (sequenceBatching !== undefined) checkSequence(config, sequenceBatching, problems.at("sequence_batching"));
  if (config.responseCache?.enable !== true) return;
  if (sequenceBatching !== undefined)
    problems.add(["response_cache", "enable"], "a model with sequence_batching can't have a response cache");
  if (config.modelTransactionPolicy?.decoupled === true) {
    problems.add(["response_cache", "enable"], "a model with decoupled responses can't have a response cache");
  }
}

function checkPreferred(config: ModelConfig, sizes: readonly number[], problems: Problems): void {
  const most = config.maxBatchSize ?? 0;
  for (const size of sizes) {
    if (size <= 0) problems.add(["preferred_batch_size"], `${size} must be 1 or more`);
    else if (size > most) problems.add(["preferred_batch_size"], `${size} is more than max_batch_size, which is ${most}`);
  }
}

function checkDynamic(config: ModelConfig, batching: ModelDynamicBatching, problems: Problems): void {
  const { priorityLevels: levels = 0, defaultPriorityLevel: level = 0, priorityQueuePolicy = {} } = batching;
  checkPreferred(config, batching.preferredBatchSize ?? [], problems);
  if (levels > 0) {
    if (level < 1 || level > levels)
      problems.add(["default_priority_level"], `it must be from 1 to ${levels} (priority_levels), not ${level}`);
    for (const key of Object.keys(priorityQueuePolicy)) {
      const named = /^\d{1,20}$/.test(key) ? BigInt(key) : 0n;
      if (named < 1n || named > levels) problems.add(["priority_queue_policy", key], `levels are from 1 to ${levels} (priority_levels)`);
    }
  }
  if (batching.preserveOrdering !== true) return;
  if (levels > 1) problems.add(["preserve_ordering"], `it goes with one priority level only, and priority_levels is ${levels}`);
  const delays = (policy: ModelQueuePolicy | undefined) =>
    (policy?.defaultTimeoutMicroseconds ?? 0) > 0 && policy?.timeoutAction === "DELAY";
  const why = "DELAY with a timeout does not go with preserve_ordering";
  if (delays(batching.defaultQueuePolicy)) problems.add(["default_queue_policy", "timeout_action"], why);
  for (const [key, policy] of Object.entries(priorityQueuePolicy)) {
    if (delays(policy)) problems.add(["priority_queue_policy", key, "timeout_action"], why);
  }
}

const idTypes = ["TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING"];

function checkSequence(config: ModelConfig, batching: ModelSequenceBatching, problems: Problems): void {
  const { oldest, direct, controlInput = [] } = batching;
  if (oldest !== undefined && direct !== undefined) problems.add([], "of direct and oldest there may be one");
  if (oldest !== undefined) checkPreferred(config, oldest.preferredBatchSize ?? [], problems.at("oldest"));
  const share = direct?.minimumSlotUtilization ?? 0;
  if (!(share >= 0 && share <= 1)) problems.add(["direct", "minimum_slot_utilization"], `it must be from 0 to 1, not ${share}`);

  controlInput.forEach(({ name = "", control = [] }, index) => {
    const own = problems.at("control_input", index);
    if (name === "") own.add(["name"], "it must be given");
    control.forEach((one, place) => {
      checkControl(one, own.at("control", place));
    });
  });
  for (const name of repeated(controlInput.map((one) => one.name))) problems.add(["control_input"], `'${name}' is there more than once`);
  const kinds = controlInput.flatMap(({ control = [] }) => control.map(({ kind }) => kind ?? "CONTROL_SEQUENCE_START"));
  for (const kind of repeated(kinds)) problems.add(["control_input"], `${kind} is there more than once`);

  batching.state?.forEach((state, index) => {
    checkState(state, problems.at("state", index));
  });
}

function checkControl(control: ModelSequenceControl, problems: Problems): void {
  const kind = control.kind ?? "CONTROL_SEQUENCE_START";
  const values = {
    int32_false_true: control.int32FalseTrue,
    fp32_false_true: control.fp32FalseTrue,
    bool_false_true: control.boolFalseTrue,
  };
  const given = Object.entries(values).filter(([, list]) => (list ?? []).length > 0);
  if (kind === "CONTROL_SEQUENCE_CORRID") {
    for (const [name] of given) problems.add([name], `${kind} has no values for false and true`);
    if (!idTypes.includes(control.dataType ?? "")) problems.add(["data_type"], `${kind} is one of ${idTypes.join(", ")}`);
    return;
  }
  if (given.length !== 1) problems.add([], `${kind} needs one of ${Object.keys(values).join(", ")}, not ${given.length}`);
  for (const [name, list] of given)
    if (list?.length !== 2) problems.add([name], `it has exactly 2 values, for false and for true, not ${list?.length ?? 0}`);
}

function checkState(state: ModelSequenceState, problems: Problems): void {
  const { dims = [], initialState = [] } = state;
  if ((state.inputName ?? "") === "") problems.add(["input_name"], "it must be given");
  if ((state.outputName ?? "") === "") problems.add(["output_name"], "it must be given");
  if ((state.dataType ?? "TYPE_INVALID") === "TYPE_INVALID") problems.add(["data_type"], "it must be given");
  if (dims.length === 0 || !dims.every(isDimension)) problems.add(["dims"], "it must be given, each 1 or more, or -1 for any length");
  if (initialState.length > 1) problems.add(["initial_state"], "there may be one");
  initialState.forEach((initial, index) => {
    const own = problems.at("initial_state", index);
    const shape = initial.dims ?? [];
    if ((initial.name ?? "") === "") own.add(["name"], "it must be given");
    if (initial.dataType !== state.dataType) own.add(["data_type"], `it must be the state's, ${state.dataType ?? "TYPE_INVALID"}`);
    if (shape.length !== dims.length) own.add(["dims"], `the state has ${dims.length} dimensions, not ${shape.length}`);
    else if (!shape.every((length, axis) => length >= 1 && (dims[axis] === -1 || dims[axis] === length))) {
      own.add(["dims"], `each must be 1 or more and fit the state's dims, [${dims.join(", ")}]`);
    }
    if (initial.zeroData === undefined && initial.dataFile === undefined) own.add([], "one of zero_data and data_file must be given");
    if (initial.zeroData !== undefined && initial.dataFile !== undefined) own.add([], "of zero_data and data_file there may be one");
  });
}
