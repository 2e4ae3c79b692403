import type { inference } from "../../protocol/grpc/generated/messages.js";
import type { Settings } from "../model-plane.ts";
import { isSet } from "../../protocol/grpc/is-set.ts";

type TraceValues = Readonly<Record<string, inference.TraceSettingRequest.SettingValue.$Properties>>;
type LogValues = Readonly<Record<string, inference.LogSettingsRequest.SettingValue.$Properties>>;
type Change = string | number | boolean;

/** What is asked to be set; undefined for nothing. A setting without values goes back to what holds by default. */
export function readTraceChanges(settings: TraceValues): Readonly<Record<string, readonly string[] | null>> | undefined {
  const entries = Object.entries(settings);
  if (entries.length === 0) return undefined;
  return Object.fromEntries(entries.map(([name, { value }]) => [name, !isSet(value) || value.length === 0 ? null : value]));
}

export function writeTraceSettings(settings: Settings): inference.TraceSettingResponse.$Properties {
  return {
    settings: Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [name, { value: typeof value === "object" ? [...value] : [String(value)] }]),
    ),
  };
}

/** What is asked to be set; undefined for nothing. */
export function readLogChanges(settings: LogValues): Readonly<Record<string, Change>> | undefined {
  const changes: Record<string, Change> = {};
  for (const [name, { boolParam, uint32Param, stringParam }] of Object.entries(settings)) {
    const value = boolParam ?? uint32Param ?? stringParam;
    if (isSet(value)) changes[name] = value;
  }
  return Object.keys(changes).length === 0 ? undefined : changes;
}

export function writeLogSettings(settings: Settings): inference.LogSettingsResponse.$Properties {
  return { settings: Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, logValue(value)])) };
}

function logValue(value: Settings[string]): inference.LogSettingsResponse.SettingValue.$Properties {
  if (typeof value === "boolean") return { boolParam: value };
  if (typeof value === "number") return { uint32Param: value };
  return { stringParam: typeof value === "string" ? value : value.join(",") };
}
