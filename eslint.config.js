// @ts-check
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

const nodeGlobals = [
  "AbortSignal",
  "Buffer",
  "URL",
  "clearInterval",
  "clearTimeout",
  "console",
  "fetch",
  "process",
  "setInterval",
  "setTimeout",
];
const browserGlobals = [
  ...["AbortController", "Blob", "File", "FileReader", "FormData", "Headers", "Image", "Request", "Response", "TextDecoder", "TextEncoder"],
  ...["URL", "URLSearchParams", "clearTimeout", "customElements", "document", "fetch", "HTMLElement", "localStorage", "location"],
  ...["navigator", "performance", "queueMicrotask", "requestAnimationFrame", "sessionStorage", "setTimeout", "structuredClone", "window"],
];
const readonly = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

const namedExports = [
  { selector: "ExportDefaultDeclaration", message: "Export by name." },
  { selector: "ExportAllDeclaration", message: "List the names that are exported." },
];
const processCalls = [
  {
    selector: "MemberExpression[object.name='process'][property.name=/^(exit|exitCode|abort|on|once|kill)$/]",
    message: "Only src/cli ends the process or listens to it: throw a ServableError, or take an AbortSignal.",
  },
];

/** An eslint-disable says why, after `--`. */
const explainedDisable = {
  meta: { type: "suggestion", schema: [], messages: { why: "Say why, after ` -- `." } },
  create: (context) => ({
    Program() {
      for (const comment of context.sourceCode.getAllComments()) {
        if (/^\s*eslint-disable/.test(comment.value) && !/ -- \S/.test(comment.value)) {
          context.report({ loc: comment.loc, messageId: "why" });
        }
      }
    },
  }),
};

export default defineConfig(
  globalIgnores([
    "src/protocol/grpc/generated/",
    "dist/",
    "node_modules/",
    ".cache/",
    "coverage/",
    "templates/",
    "test/**/.*/",
    "bench/**/.*/",
  ]),
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    plugins: { servable: { rules: { "explained-disable": explainedDisable } } },
    rules: { "servable/explained-disable": "error", eqeqeq: "error" },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports", disallowTypeAnnotations: false }],
      "@typescript-eslint/consistent-type-exports": "error",
      // A path in a type alias of index signatures says more than Record does, and the other way round; both are read easily.
      "@typescript-eslint/consistent-indexed-object-style": "off",
      "@typescript-eslint/consistent-type-definitions": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      // `I extends …` names both sides of a seam even where one of them appears once.
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/ban-ts-comment": ["error", { "ts-expect-error": "allow-with-description", minimumDescriptionLength: 10 }],
      "no-restricted-syntax": ["error", ...namedExports],
      "id-denylist": ["error", "req", "res", "cfg", "opts"],
    },
  },
  {
    files: ["src/**/*.ts"],
    rules: {
      "no-console": "error",
      "max-lines": ["error", { max: 400, skipBlankLines: true }],
      "no-restricted-syntax": ["error", ...namedExports, ...processCalls],
    },
  },
  {
    files: ["src/cli/**/*.ts"],
    rules: { "no-console": "off", "no-restricted-syntax": ["error", ...namedExports] },
  },
  {
    files: ["test/**/*.ts", "examples/**/*.test.ts"],
    rules: {
      // Tests look at answers of unknown shape, give services what their types refuse, and stub with empty functions.
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-return": "off",
      "@typescript-eslint/no-empty-function": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/only-throw-error": "off",
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/unbound-method": "off",
    },
  },
  { files: ["*.config.ts"], rules: { "no-restricted-syntax": "off" } },
  {
    files: ["**/*.{js,mjs,cjs}"],
    rules: { "no-undef": "error", "no-unused-vars": ["error", { argsIgnorePattern: "^_" }], "prefer-const": "error", "no-var": "error" },
    languageOptions: { globals: readonly(nodeGlobals) },
  },
  { files: ["**/*.cjs"], languageOptions: { sourceType: "commonjs", globals: { module: "writable", require: "readonly" } } },
  { files: ["web/**/*.js"], languageOptions: { globals: readonly(browserGlobals) } },
);
