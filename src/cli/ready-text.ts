import type { AnyServiceDefinition, Placement } from "../service/definition.ts";
import { shellWord } from "./print.ts";

/** One service that is ready. */
export interface ServedService {
  readonly definition: AnyServiceDefinition;
  readonly placement: Placement;
  readonly workers: number;
}

/** What there is to tell when everything is ready. */
export interface ReadyFacts {
  readonly url: string;
  readonly services: readonly ServedService[];
  readonly hasPage: boolean;
  readonly needsToken: boolean;
}

/** What a person reads when everything is ready: where, what, and a command to try. */
export function readyText({ url, services, hasPage, needsToken }: ReadyFacts): string {
  const width = Math.max(...services.map(({ definition }) => definition.name.length));
  const lines = services.map(({ definition: { name }, placement, workers }) => {
    const where =
      placement === "inline" ? "inline" : count(workers, placement === "thread" ? ["thread", "threads"] : ["process", "processes"]);
    return `  ${name.padEnd(width)}  POST /${name.padEnd(width)}  ${where}`;
  });
  const commands = services.flatMap(({ definition }) => curlCommand(definition, url, needsToken) ?? []);
  const links = hasPage ? [`Page      ${url}/`] : [];
  return [
    "",
    `Ready on  ${url}`,
    ...links,
    `OpenAPI   ${url}/openapi.json`,
    "",
    ...lines,
    "",
    ...(commands.length > 0 ? ["Try it:", ...commands.map((command) => `  ${command}`), ""] : []),
    "Press Ctrl+C to stop.",
    "",
    "",
  ].join("\n");
}

function count(number: number, [one, many]: readonly [string, string]): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** A command to try a service; undefined where nothing is known that it would take. */
function curlCommand(definition: AnyServiceDefinition, url: string, needsToken: boolean): string | undefined {
  const input = inputWords(definition);
  if (input === undefined) return undefined;
  const token = needsToken ? ["-H", '"authorization: Bearer $SERVABLE_TOKEN"'] : [];
  return ["curl", ...token, ...input.map(shellWord), `${url}/${definition.name}`].join(" ");
}

function inputWords({ example, request, inputStream }: AnyServiceDefinition): readonly string[] | undefined {
  const readsJson = request.some(({ mediaTypes }) => mediaTypes.includes("application/json"));
  const text = readsJson ? JSON.stringify(example) : undefined;
  if (text !== undefined)
    return inputStream ? ["-H", "content-type: application/x-ndjson", "-d", text] : ["-H", "content-type: application/json", "-d", text];
  for (const { bodySchemas } of request) {
    const field = firstKey(bodySchemas?.["multipart/form-data"]?.properties);
    if (field !== undefined) return ["-F", `${field}=@file`];
  }
  return undefined;
}

function firstKey(value: unknown): string | undefined {
  return typeof value === "object" && value !== null ? Object.keys(value)[0] : undefined;
}
