import { errorCodes } from "../../errors.ts";
import type { JsonSchema } from "../../service/schema.ts";
import { componentReference } from "./openapi-schema.ts";
import { internalCodes } from "./problem.ts";

/** How OpenAPI describes one body of one media type. */
export interface OpenApiMediaType {
  readonly schema: JsonSchema;
  readonly example?: unknown;
  /** What one item of a stream looks like, which OpenAPI 3.1 has no keyword for (3.2 has: `itemSchema`). */
  readonly "x-item-schema"?: JsonSchema;
}

/** A reference to a component of the document. */
export interface OpenApiReference {
  readonly $ref: string;
}

/** A header of an answer. */
export interface OpenApiHeader {
  readonly description: string;
  readonly schema: JsonSchema;
}

/** One answer of an operation. */
export interface OpenApiResponse {
  readonly description: string;
  readonly headers?: Readonly<Record<string, OpenApiHeader | OpenApiReference>>;
  readonly content?: Readonly<Record<string, OpenApiMediaType>>;
}

/** A header that a client may send. */
export interface OpenApiParameter extends OpenApiHeader {
  readonly name: string;
  readonly in: "header";
}

/** What the operations of a document share. */
export interface OpenApiComponents {
  readonly schemas: Readonly<Record<string, JsonSchema>>;
  readonly parameters: Readonly<Record<string, OpenApiParameter>>;
  readonly headers: Readonly<Record<string, OpenApiHeader>>;
  readonly responses: Readonly<Record<string, OpenApiResponse>>;
  readonly securitySchemes?: Readonly<Record<string, { readonly type: "http"; readonly scheme: "bearer"; readonly description: string }>>;
}

/** A reference to a shared schema. */
export const schemaReference = (name: string): OpenApiReference & JsonSchema => ({ $ref: componentReference(name) });

/** The headers of every answer. */
export const commonHeaders: Readonly<Record<string, OpenApiReference>> = { "x-request-id": { $ref: "#/components/headers/RequestId" } };

/** The headers that a client may send with a call. */
export const commonParameters: readonly OpenApiReference[] = [
  { $ref: "#/components/parameters/RequestId" },
  { $ref: "#/components/parameters/TimeoutMs" },
];

const requestIdSchema: JsonSchema = { type: "string", maxLength: 128 };

const problem: JsonSchema = {
  type: "object",
  title: "Problem",
  description: "What went wrong (RFC 9457). Members besides these are facts that help to mend the call.",
  required: ["type", "title", "status", "detail", "code"],
  properties: {
    type: { type: "string", format: "uri-reference", description: "Names the kind of problem." },
    title: { type: "string", description: "The kind of problem, for a person." },
    status: { type: "integer", description: "The HTTP status." },
    detail: { type: "string", description: "What was wrong with this call, where, and what to do." },
    code: {
      type: "string",
      enum: errorCodes.filter((code) => !internalCodes.has(code)),
      description: "The kind of problem, for a program.",
    },
    requestId: { type: "string", description: "Names the request in the logs." },
    errors: {
      type: "array",
      description: "The fields that are wrong.",
      items: {
        type: "object",
        required: ["path", "pointer", "detail"],
        properties: {
          path: { type: "string", description: "The field, as code would write it: items[0].x" },
          pointer: { type: "string", description: "The field as a JSON Pointer: #/items/0/x" },
          detail: { type: "string", description: "What is wrong with it." },
        },
      },
    },
  },
};

const health: JsonSchema = {
  type: "object",
  title: "Health",
  description: "The state, and why.",
  required: ["status"],
  properties: {
    status: { type: "string", description: "The state in a word, such as ready, degraded, starting or stopping." },
    reason: { type: "string", description: "Why it is not ready, or degraded." },
    services: { type: "object", description: "The places where each service runs.", additionalProperties: { type: "object" } },
  },
};

function problemResponse(description: string, headers: OpenApiResponse["headers"] = {}): OpenApiResponse {
  return {
    description,
    headers: { ...commonHeaders, ...headers },
    content: { "application/problem+json": { schema: schemaReference("Problem") } },
  };
}

/** Each shared error answer with the HTTP status that it stands for. */
const problemResponses = {
  InvalidRequest: ["400", problemResponse("The input could not be read, or does not fit the schema: `errors` tells the fields.")],
  Unauthenticated: [
    "401",
    problemResponse("The token is missing or not known.", {
      "www-authenticate": { description: "How to authenticate.", schema: { type: "string" } },
    }),
  ],
  NotAcceptable: [
    "406",
    problemResponse("The Accept header names nothing that the service can answer with; the problem lists what it can."),
  ],
  RequestTimeout: ["408", problemResponse("The request did not arrive in time.")],
  PayloadTooLarge: ["413", problemResponse("The body is over the service's limit.")],
  UnsupportedMediaType: ["415", problemResponse("The service does not read this Content-Type; the problem lists what it reads.")],
  ServiceFailed: ["500", problemResponse("The service failed. The request id finds the reason in its logs.")],
  Unavailable: [
    "503",
    problemResponse("Overloaded, or not ready: try again later.", {
      "retry-after": { description: "When trying again makes sense, in seconds.", schema: { type: "integer" } },
    }),
  ],
  DeadlineExceeded: ["504", problemResponse("No answer within the deadline.")],
  Problem: ["default", problemResponse("Any other failure.")],
} as const satisfies Record<string, readonly [string, OpenApiResponse]>;

/** The error answers of a call, by status, as references. */
export function problemReferences(authenticated: boolean): Record<string, OpenApiReference> {
  const entries = Object.entries(problemResponses).filter(([name]) => authenticated || name !== "Unauthenticated");
  return Object.fromEntries(entries.map(([name, [status]]) => [status, { $ref: `#/components/responses/${name}` }]));
}

/** The components of a document: what every document shares, and the services' schemas. */
export function openApiComponents(serviceSchemas: Readonly<Record<string, JsonSchema>>, authenticated: boolean): OpenApiComponents {
  const responses = Object.entries(problemResponses).filter(([name]) => authenticated || name !== "Unauthenticated");
  return {
    schemas: { Problem: problem, Health: health, ...serviceSchemas },
    parameters: {
      RequestId: {
        name: "x-request-id",
        in: "header",
        description: "Names the request in logs and in the answer; made up where none is sent.",
        schema: requestIdSchema,
      },
      TimeoutMs: {
        name: "x-timeout-ms",
        in: "header",
        description: "How long you will wait, in milliseconds. It can only lower the service's own deadline.",
        schema: { type: "integer", minimum: 1 },
      },
    },
    headers: { RequestId: { description: "Names the request in the logs.", schema: requestIdSchema } },
    responses: Object.fromEntries(responses.map(([name, [, response]]) => [name, response])),
    ...(authenticated && { securitySchemes: { bearer: { type: "http", scheme: "bearer", description: "A token of this server." } } }),
  };
}
