/** A media type, taken apart. */
export interface MediaType {
  /** Type and subtype in lower case, such as `text/plain`. */
  readonly essence: string;
  /** The parameters by lower-case name, with quotes removed; of two with one name the first counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

// RFC 9110 section 5.6.2: the characters of a token.
const token = "[!#$%&'*+\\-.^_`|~\\w]+";
const essencePattern = new RegExp(`^(${token})/(${token})$`);
const parameterPattern = new RegExp(`[ \\t]*;[ \\t]*(?:(${token})=(?:(${token})|"((?:[^"\\\\]|\\\\.)*)"))?[ \\t]*`, "sy");

/** What stands before the parameters of a media type, in lower case, whether it is well-formed or not. */
export function essenceOf(text: string): string {
  const end = text.indexOf(";");
  return (end === -1 ? text : text.slice(0, end)).trim().toLowerCase();
}

/** Whether a text is `type/subtype` with no parameters; patterns such as `image/*` are well-formed, too. */
export function isEssence(text: string): boolean {
  return essencePattern.test(text);
}

/**
 * Takes a media type apart, as RFC 9110 section 8.3.1 writes it.
 *
 * @param text - a Content-Type, such as `text/plain; charset=utf-8`
 * @returns undefined where the text is not a media type
 */
export function parseMediaType(text: string): MediaType | undefined {
  const essence = essenceOf(text);
  if (!isEssence(essence)) return undefined;
  const parameters = new Map<string, string>();
  const start = text.indexOf(";");
  for (let position = start === -1 ? text.length : start; position < text.length;) {
    parameterPattern.lastIndex = position;
    const match = parameterPattern.exec(text);
    if (match === null) return undefined;
    const name = match[1]?.toLowerCase();
    if (name !== undefined && !parameters.has(name)) parameters.set(name, match[2] ?? (match[3] ?? "").replace(/\\(.)/gs, "$1"));
    position = parameterPattern.lastIndex;
  }
  return { essence, parameters };
}

/**
 * Whether a media type fits a pattern.
 *
 * @param pattern - lower case: a media type, `image/*`, `application/*+json`, or `*` + `/*`
 * @param essence - lower case, without parameters
 */
export function matchesMediaType(pattern: string, essence: string): boolean {
  if (pattern === essence) return true;
  const star = pattern.indexOf("*");
  if (star === -1) return false;
  const before = pattern.slice(0, star);
  // `*/*`: what follows the star would otherwise be read as a suffix.
  const after = before === "" ? "" : pattern.slice(star + 1);
  return essence.length > before.length + after.length && essence.startsWith(before) && essence.endsWith(after);
}

/**
 * Whether a handler can be asked to write exactly this type. A pattern stands for no type of its own, and a multipart body needs
 * a boundary in its Content-Type, which negotiation can't give.
 */
export function isConcrete(mediaType: string): boolean {
  return !mediaType.includes("*") && !mediaType.startsWith("multipart/");
}
