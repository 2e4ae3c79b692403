import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, openAsBlob, readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Command } from "./readme-blocks.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const cli = path.join(root, "dist", "cli", "main.js");
const tsx = path.join(root, "node_modules", "tsx", "dist", "cli.mjs");
const execute = promisify(execFile);

interface Manifest {
  readonly name: string;
  readonly scripts: Readonly<Record<string, string>> & { readonly start: string };
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as Manifest;

/** The address that the page writes; what runs here listens elsewhere, because another program may have that port. */
const written = /(?:http:\/\/)?(?:127\.0\.0\.1|localhost):[38]000/g;

/**
 * Runs the commands of a page, one after the other, as the shell of its reader would. The commands are a closed set: one that is not
 * known here fails, so that no line of the page goes untested.
 */
export class Shell {
  readonly #start: string;
  #folder: string;
  #server: { readonly child: ChildProcess; readonly url: string; output: string } | undefined;

  constructor(folder: string) {
    this.#start = folder;
    this.#folder = folder;
  }

  /** Goes back to the folder that it began in, as a reader does for each block of a page. */
  return(): void {
    this.#folder = this.#start;
  }

  /** Runs one command and gives what it printed; what serves goes on until the next one that serves, or until `close`. */
  async run({ words, text }: Command): Promise<string> {
    const [program, ...rest] = words;
    if (program === "npm") return await this.#npm(rest, text);
    if (program === "npx" && rest[0] === "servable") return await this.#servable(rest.slice(1), text);
    if (program === "npx" && rest[0] === "tsx" && rest.length === 2) {
      // What it downloads is not to stay in the cache of whoever runs this.
      const env = { ...process.env, XDG_CACHE_HOME: path.join(this.#start, "cache") };
      return (await execute(process.execPath, [tsx, rest[1] ?? ""], { cwd: this.#folder, env })).stdout;
    }
    if (program === "curl") return await this.#curl(rest);
    if (program === "cd" && rest.length === 1) {
      this.#folder = path.resolve(this.#folder, rest[0] ?? "");
      if (!existsSync(this.#folder)) throw new Error(`there is no folder for: ${text}`);
      return "";
    }
    throw new Error(`this test does not know the command: ${text}`);
  }

  /** Serves a file of services and gives its URL. */
  async serve(parameters: readonly string[], cwd: string = this.#folder, environment: NodeJS.ProcessEnv = {}): Promise<string> {
    const port = await freePort();
    return this.#listen([...parameters, "--port", String(port)], port, "/readyz", cwd, environment);
  }

  /** Serves a model repository and gives its URL. */
  async serveModels(parameters: readonly string[], cwd: string = this.#folder): Promise<string> {
    const port = await freePort();
    const ports = [`--http-port=${port}`, "--grpc-port=0", "--metrics-port=0"];
    return this.#listen(["models", ...parameters, ...ports], port, "/v2/health/ready", cwd);
  }

  async #listen(
    parameters: readonly string[],
    port: number,
    readyPath: string,
    cwd: string,
    environment: NodeJS.ProcessEnv = {},
  ): Promise<string> {
    await this.close();
    const env = { ...process.env, ...environment };
    const child = spawn(process.execPath, [cli, ...parameters], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const server = { child, url: `http://127.0.0.1:${port}`, output: "" };
    this.#server = server;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (server.output += part.toString()));
    for (;;) {
      if (child.exitCode !== null) throw new Error(`servable ${parameters.join(" ")} ended with ${child.exitCode}: ${server.output}`);
      const response = await fetch(`${server.url}${readyPath}`).catch(() => undefined);
      if (response?.status === 200) return server.url;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends what serves. */
  async close(): Promise<void> {
    const child = this.#server?.child;
    this.#server = undefined;
    if (child?.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  }

  /** The URL of what serves. */
  get #url(): string {
    if (this.#server === undefined) throw new Error("the page calls a server before it starts one");
    return this.#server.url;
  }

  async #npm(words: readonly string[], text: string): Promise<string> {
    const [verb, ...rest] = words;
    if (verb === "start" && rest.length === 0) {
      const [node, script, ...parameters] = manifest.scripts.start.split(" ");
      if (node !== "node" || script !== "dist/cli/main.js") throw new Error(`package.json's start is not ${cli}`);
      await this.serve(parameters, root);
      return "";
    }
    // These run this very test (npm test, npm run check) or longer than a test may: here the name must be right.
    const name = verb === "run" ? rest[0] : verb;
    const project = JSON.parse(readFileSync(path.join(this.#nearestPackage(), "package.json"), "utf8")) as Manifest;
    if (name !== undefined && project.scripts[name] !== undefined) return "";
    if (verb === "install" || verb === "ci") {
      const known = { ...manifest.dependencies, ...manifest.devDependencies, [manifest.name]: "" };
      const unknown = rest.filter((word) => !word.startsWith("-") && !(word in known));
      if (unknown.length === 0) return "";
    }
    throw new Error(`this test does not know the command: ${text}`);
  }

  #nearestPackage(): string {
    const own = path.join(this.#folder, "package.json");
    return existsSync(own) ? this.#folder : root;
  }

  async #servable(words: readonly string[], text: string): Promise<string> {
    const [verb, ...rest] = words;
    if (verb === "serve" || verb === "run") {
      await this.serve(words);
      return "";
    }
    if (verb === "models") {
      await this.serveModels(rest);
      return "";
    }
    if (verb === "call") {
      const parameters = rest.map((word) => word.replaceAll(written, this.#url));
      const env = { ...process.env, SERVABLE_URL: this.#url };
      return (await execute(process.execPath, [cli, "call", ...parameters], { cwd: this.#folder, env })).stdout;
    }
    if (verb === "batch" || verb === "triton") return (await execute(process.execPath, [cli, ...words], { cwd: this.#folder })).stdout;
    if (verb === "init") {
      // Its installation and its npm test are part of the smoke test of the tarball.
      const given = [...rest, "--no-install", ...(rest.includes("--servable") ? [] : ["--servable", root])];
      return (await execute(process.execPath, [cli, "init", ...given], { cwd: this.#folder })).stdout;
    }
    throw new Error(`this test does not know the command: ${text}`);
  }

  /** The part of curl that pages use, so that the test needs no curl: -F, -d, -H, -X, and the flags of its own output. */
  async #curl(words: readonly string[]): Promise<string> {
    const headers = new Headers();
    const form = new FormData();
    let body: string | Blob | undefined;
    let method: string | undefined;
    let url: string | undefined;
    for (let index = 0; index < words.length; index++) {
      const word = words[index] ?? "";
      const value = (): string => words[++index] ?? "";
      if (/^-[sSNif]+$/.test(word)) continue;
      if (word === "-X") method = value();
      else if (word === "-H") {
        const [name = "", ...rest] = value().split(":");
        headers.append(name, rest.join(":").trim());
      } else if (word === "-F") {
        const [name = "", content = ""] = value().split("=");
        if (content.startsWith("@")) form.append(name, await this.#file(content.slice(1)), path.basename(content));
        else form.append(name, content);
      } else if (["-d", "--data", "--data-binary", "--json"].includes(word)) {
        const content = value();
        body = content.startsWith("@") ? await this.#file(content.slice(1)) : content;
        if (word === "--json") headers.set("content-type", "application/json");
        else if (!headers.has("content-type")) headers.set("content-type", "application/x-www-form-urlencoded");
      } else if (word.startsWith("-") || url !== undefined) throw new Error(`this test does not know curl's '${word}'`);
      else url = word.replaceAll(written, this.#url);
    }
    if (url === undefined) throw new Error("curl wants a URL");
    const sent = [...form.keys()].length > 0 ? form : body;
    const response = await fetch(url, { method: method ?? (sent === undefined ? "GET" : "POST"), headers, ...(sent && { body: sent }) });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${url} answered ${response.status}: ${answer}`);
    return answer;
  }

  async #file(name: string): Promise<Blob> {
    const [found] = [path.resolve(this.#folder, name), path.resolve(root, name)].filter((file) => existsSync(file));
    if (found === undefined) throw new Error(`there is no file ${name}`);
    return await openAsBlob(found);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
