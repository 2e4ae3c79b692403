/** One fenced block of a Markdown page. */
export interface Block {
  readonly language: string;
  readonly text: string;
  /** The line of the page where its fence opens, from 1. */
  readonly line: number;
  /** The file that the block stands for, as it says in a first comment (`// double.ts`), or by the service that it exports. */
  readonly file: string | undefined;
}

/** The fenced blocks of a page, in order. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let open: { readonly indent: string; readonly fence: string; readonly language: string; readonly line: number } | undefined;
  let lines: string[] = [];
  for (const [index, line] of page.split("\n").entries()) {
    const [, indent = "", fence, language = ""] = /^(\s*)(`{3,}|~{3,})\s*(\S*)/.exec(line) ?? [];
    if (open === undefined) {
      if (fence !== undefined) [open, lines] = [{ indent, fence, language, line: index + 1 }, []];
    } else if (fence !== undefined && fence.startsWith(open.fence) && language === "") {
      const text = lines.join("\n");
      blocks.push({ language: open.language, text, line: open.line, file: fileOf(text, open.language) });
      open = undefined;
    } else {
      lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
    }
  }
  if (open !== undefined) throw new Error(`the block that opens on line ${open.line} does not close`);
  return blocks;
}

function fileOf(text: string, language: string): string | undefined {
  const said = /^(?:\/\/|#) ([\w./-]+\.(?:m?ts|yaml|json))\s*$/m.exec(text.split("\n")[0] ?? "")?.[1];
  if (said !== undefined || language !== "ts") return said;
  const service = /^export const (\w+) = defineService\(/m.exec(text)?.[1];
  return service === undefined ? undefined : `${service}.ts`;
}

/** One command of a shell block: its words, and what a comment behind it says it prints. */
export interface Command {
  readonly text: string;
  readonly words: readonly string[];
  readonly prints: string | undefined;
}

/** The commands of a shell block. Knows quotes, comments, `\` at the end of a line, and `&&`; refuses any other operator. */
export function commandsOf(text: string): Command[] {
  return text
    .replaceAll(/\\\n\s*/g, " ")
    .split("\n")
    .flatMap((line) => {
      const { words, prints } = wordsOf(line.replace(/^\$ /, ""));
      const commands: Command[] = [];
      let current: string[] = [];
      for (const word of [...words, "&&"]) {
        if (word !== "&&") current.push(word);
        else if (current.length > 0) {
          commands.push({ text: line.trim(), words: current, prints });
          current = [];
        }
      }
      return commands;
    });
}

function wordsOf(line: string): { words: string[]; prints: string | undefined } {
  const words: string[] = [];
  let prints: string | undefined;
  for (const [token] of line.matchAll(/#.*|&&|(?:'[^']*'|"[^"]*"|[^\s'"])+/g)) {
    if (token.startsWith("#")) prints = /^#\s*(?:→|->)?\s*([{[].*)$/.exec(token)?.[1];
    else if (/^[|;<>&]+$/.test(token) && token !== "&&") throw new Error(`this test does not know '${token}' in: ${line}`);
    else words.push(token.replaceAll(/'([^']*)'|"([^"]*)"/g, (_all, single?: string, double?: string) => single ?? double ?? ""));
  }
  return { words, prints };
}
