import type { AnyServiceDefinition } from "../../service/definition.ts";
import { isConcrete } from "../../service/handlers/media-type.ts";
import type { JsonSchema } from "../../service/schema.ts";
import { whyNoBatch } from "./batch-route.ts";
import {
  commonHeaders,
  commonParameters,
  openApiComponents,
  problemReferences,
  schemaReference,
  type OpenApiComponents,
  type OpenApiMediaType,
  type OpenApiReference,
  type OpenApiResponse,
} from "./openapi-components.ts";
import { schemaComponents } from "./openapi-schema.ts";

/** One route with one method. */
export interface OpenApiOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly OpenApiReference[];
  readonly requestBody?: { readonly required: true; readonly content: Readonly<Record<string, OpenApiMediaType>> };
  readonly responses: Readonly<Record<string, OpenApiResponse | OpenApiReference>>;
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
}

/** An OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0): the part of it that servable writes. */
export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly info: { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, { readonly get?: OpenApiOperation; readonly post?: OpenApiOperation }>>;
  readonly components: OpenApiComponents;
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
}

/** What {@link openApiDocument} describes. */
export interface OpenApiOptions {
  /** The services, in the order of the document. */
  readonly services: readonly AnyServiceDefinition[];
  /** @default the services' names, or how many there are */
  readonly title?: string | undefined;
  /** The version of what is served, not of OpenAPI. @default "0.0.0" */
  readonly version?: string | undefined;
  /** Whether calls need a bearer token. */
  readonly authenticated: boolean;
  /** Whether the health routes are served. @default true */
  readonly health?: boolean | undefined;
  /** Whether `/metrics` is served. @default true */
  readonly metrics?: boolean | undefined;
  /** Where the routes are mounted, such as `/models`. @default beside the document itself, wherever that is served */
  readonly basePath?: string | undefined;
}

/**
 * Describes the HTTP routes of services as an OpenAPI 3.1 document. Pure: nothing is constructed or run.
 *
 * Each service's schemas stand in `components/schemas` as `{service}.input` and `{service}.output`, and their definitions beside them, so
 * that recursive schemas keep working.
 */
export function openApiDocument(options: OpenApiOptions): OpenApiDocument {
  const { services, authenticated } = options;
  const basePath = options.basePath?.replace(/\/+$/, "") ?? ".";
  return {
    openapi: "3.1.0",
    info: { title: options.title ?? titleOf(services), version: options.version ?? "0.0.0" },
    servers: [{ url: basePath === "" ? "/" : basePath }],
    tags: [
      { name: "services", description: "Calls." },
      { name: "operation", description: "The state of the server." },
    ],
    paths: Object.fromEntries([...services.flatMap((service) => servicePaths(service, authenticated)), ...operationPaths(options)]),
    components: openApiComponents(Object.assign({}, ...services.map(serviceSchemas)) as Record<string, JsonSchema>, authenticated),
    ...(authenticated && { security: [{ bearer: [] }] }),
  };
}

function titleOf(services: readonly AnyServiceDefinition[]): string {
  if (services.length === 0) return "servable";
  return services.length > 3 ? `${services.length} services` : services.map(({ name }) => name).join(", ");
}

type PathEntry = readonly [path: string, item: { get?: OpenApiOperation; post?: OpenApiOperation }];
type Content = Readonly<Record<string, OpenApiMediaType>>;

function serviceSchemas(service: AnyServiceDefinition): Record<string, JsonSchema> {
  const { name, inputJsonSchema: input, outputJsonSchema: output } = service;
  return { ...(input && schemaComponents(`${name}.input`, input)), ...(output && schemaComponents(`${name}.output`, output)) };
}

const inputOf = (service: AnyServiceDefinition): JsonSchema =>
  service.inputJsonSchema === undefined ? {} : schemaReference(`${service.name}.input`);
const outputOf = (service: AnyServiceDefinition): JsonSchema =>
  service.outputJsonSchema === undefined ? {} : schemaReference(`${service.name}.output`);

function servicePaths(service: AnyServiceDefinition, authenticated: boolean): PathEntry[] {
  const call: OpenApiOperation = {
    operationId: service.name,
    summary: `Call ${service.name}`,
    ...(service.description !== undefined && { description: service.description }),
    tags: ["services"],
    parameters: commonParameters,
    requestBody: { required: true, content: requestContent(service) },
    responses: {
      "200": { description: "What the service answers.", headers: commonHeaders, content: responseContent(service) },
      ...problemReferences(authenticated),
    },
  };
  const path = `/${service.name}`;
  return whyNoBatch(service) === undefined ? [[path, { post: call }], batchPath(service, authenticated)] : [[path, { post: call }]];
}

function batchPath(service: AnyServiceDefinition, authenticated: boolean): PathEntry {
  const output: JsonSchema = service.outputStream === true ? { type: "array", items: outputOf(service) } : outputOf(service);
  const answer: JsonSchema = {
    oneOf: [
      { type: "object", required: ["output"], properties: { output } },
      { type: "object", required: ["error"], properties: { error: schemaReference("Problem") } },
    ],
  };
  const examples = service.example === undefined ? {} : { example: [service.example] };
  const post: OpenApiOperation = {
    operationId: `${service.name}.batch`,
    summary: `Call ${service.name} with a list`,
    description: "Answers in the order of the list. An item that fails, fails alone.",
    tags: ["services"],
    parameters: commonParameters,
    requestBody: { required: true, content: { "application/json": { schema: { type: "array", items: inputOf(service) }, ...examples } } },
    responses: {
      "200": {
        description: "One answer an item: its output, or its error.",
        headers: commonHeaders,
        content: { "application/json": { schema: { type: "array", items: answer } } },
      },
      ...problemReferences(authenticated),
    },
  };
  return [`/${service.name}/batch`, { post }];
}

function requestContent(service: AnyServiceDefinition): Content {
  if (service.inputStream) {
    const item = inputOf(service);
    const items: unknown = Array.isArray(service.example) ? service.example : service.example === undefined ? [] : [service.example];
    const example = Array.isArray(items) ? items.map((value) => `${JSON.stringify(value)}\n`).join("") : "";
    return {
      "application/x-ndjson": {
        schema: { type: "string", description: "One item a line, each of them JSON." },
        ...(example !== "" && { example }),
        "x-item-schema": item,
      },
    };
  }
  return handlerContent(service.request, isDocumentable, inputOf(service), service.example);
}

function responseContent(service: AnyServiceDefinition): Content {
  const whole = handlerContent(service.response, isConcrete, outputOf(service), undefined);
  // Items are framed where they are JSON; a stream of anything else is its bytes, one after another.
  if (service.outputStream === false || !service.response.some(speaksJson)) return whole;
  const { [json]: _single, ...others } = whole;
  const item = { "x-item-schema": outputOf(service) };
  return {
    ...(service.outputStream === true ? others : whole),
    "application/x-ndjson": {
      schema: { type: "string", description: 'One item a line, each of them JSON. A failure is a last line: {"error": <problem>}.' },
      ...item,
    },
    "text/event-stream": {
      schema: { type: "string", description: "Each item is the data of one event; then comes an event `end`, or `error` with a problem." },
      ...item,
    },
  };
}

interface Described {
  readonly mediaTypes: readonly string[];
  readonly bodySchema?: JsonSchema;
  readonly bodySchemas?: Readonly<Record<string, JsonSchema>>;
}

/** The first handler that names a media type wins it, as it does when a request comes. */
function handlerContent(
  handlers: readonly Described[],
  isShown: (mediaType: string) => boolean,
  valueSchema: JsonSchema,
  example: unknown,
): Content {
  const content: Record<string, OpenApiMediaType> = {};
  for (const { mediaTypes, bodySchema, bodySchemas } of handlers) {
    for (const mediaType of mediaTypes.filter(isShown)) {
      content[mediaType] ??= describe(mediaType, bodySchemas?.[mediaType] ?? bodySchema, valueSchema, example);
    }
  }
  return content;
}

function describe(mediaType: string, bodySchema: JsonSchema | undefined, valueSchema: JsonSchema, example: unknown): OpenApiMediaType {
  const showsExample = example !== undefined && (isJson(mediaType) || (isText(mediaType) && typeof example === "string"));
  return { schema: bodySchema ?? defaultBody(mediaType, valueSchema), ...(showsExample && { example }) };
}

function defaultBody(mediaType: string, valueSchema: JsonSchema): JsonSchema {
  if (isJson(mediaType) || isMessagePack(mediaType)) return valueSchema;
  if (isText(mediaType)) return { type: "string" };
  if (mediaType.startsWith("multipart/"))
    return { type: "object", additionalProperties: { type: "string", contentMediaType: "application/octet-stream" } };
  return { type: "string", contentMediaType: mediaType };
}

const json = "application/json";
const speaksJson = ({ mediaTypes }: Described): boolean => mediaTypes.includes(json);
/** OpenAPI knows ranges such as `image/*`, but not patterns such as `application/*+json`. */
const isDocumentable = (mediaType: string): boolean => !/\*./.test(mediaType) || mediaType === "*/*";
const isJson = (mediaType: string): boolean => /^application\/([^;]+\+)?json$/.test(mediaType);
const isText = (mediaType: string): boolean => mediaType.startsWith("text/");
/** MessagePack says what JSON says, in other bytes, so the same schema describes it. */
const isMessagePack = (mediaType: string): boolean => /^application\/((x-|vnd\.)?msgpack|[^;]+\+msgpack)$/.test(mediaType);

function operationPaths({ authenticated, health: hasHealth, metrics: hasMetrics }: OpenApiOptions): PathEntry[] {
  const open = authenticated ? { security: [] } : {};
  const health = (name: string, summary: string, yes: string, no: string): PathEntry => {
    const answer = (description: string): OpenApiResponse => ({
      description,
      headers: commonHeaders,
      content: { "application/json": { schema: schemaReference("Health") } },
    });
    return [
      `/${name}`,
      { get: { operationId: name, summary, tags: ["operation"], responses: { "200": answer(yes), "503": answer(no) }, ...open } },
    ];
  };
  const metrics: OpenApiOperation = {
    operationId: "metrics",
    summary: "Metrics for Prometheus",
    tags: ["operation"],
    responses: {
      "200": { description: "Prometheus text.", headers: commonHeaders, content: { "text/plain": { schema: { type: "string" } } } },
      default: { $ref: "#/components/responses/Problem" },
    },
  };
  const healthPaths = [
    health("livez", "Whether the process works", "It works.", "It does not; the body says why."),
    health("readyz", "Whether calls are answered", "Calls are answered; perhaps `degraded`.", "They are not; the body says why."),
    health("startupz", "Whether the start is over", "It is over.", "Not yet; the body says what is awaited."),
  ];
  return [...(hasHealth === false ? [] : healthPaths), ...(hasMetrics === false ? [] : [["/metrics", { get: metrics }] as const])];
}
