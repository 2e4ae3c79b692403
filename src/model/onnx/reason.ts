/**
 * What went wrong, in one line, out of a message of onnxruntime: without the places in its own source code, and without the path of
 * the model's file, which is nobody's business but the log's.
 */
export function reasonIn(message: string, file?: string): string {
  const cleaned = (file === undefined ? message : message.replaceAll(file, "the file"))
    .replace(/^Load model from the file failed: ?/i, "")
    // The place, the function and the condition: "/onnxruntime_src/onnxruntime/x.cc:57 void f(int) a == b was false. "
    .replace(/\/onnxruntime_src\/.*? was false\. /s, "")
    .replace(/\/onnxruntime_src\/\S+ .*?\) (?=[A-Z])/s, "")
    .replace(/\S*\/onnxruntime_src\/\S+\s*/g, "")
    .replace(/\s+/g, " ")
    .trim()
    .replace(/[.\s]+$/, "");
  return cleaned === "" ? "onnxruntime gave no reason" : cleaned;
}
