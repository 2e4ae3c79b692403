/** The text that a recognition model saw, and how sure it was. */
export interface Reading {
  readonly text: string;
  /** The mean probability of the characters; 0 where there are none. */
  readonly score: number;
}

/**
 * The classes of a model trained with connectionist temporal classification: the first one says "no character here", the last one is
 * the space, and those between are the lines of the keys file.
 */
export function parseKeys(keys: string): string[] {
  return ["", ...keys.split(/\r?\n/).filter((key) => key !== ""), " "];
}

const blank = 0;
/**
 * The model is shy of spaces: between words it often sees "no character here" with a space as its second thought. Within a word the
 * space stays far below this.
 */
const spaceThreshold = 0.05;

/**
 * Takes the likeliest class of each step, then drops repetitions, then blanks.
 *
 * @param probabilities - [steps, classes]
 * @param classes - see {@link parseKeys}
 */
export function decodeCtc(probabilities: Float32Array, classes: readonly string[]): Reading {
  const space = classes.length - 1;
  let text = "";
  let sum = 0;
  let count = 0;
  let previous = blank;
  for (let start = 0; start < probabilities.length; start += classes.length) {
    const step = probabilities.subarray(start, start + classes.length);
    const likeliest = indexOfLargest(step);
    const seen = likeliest === blank && (step[space] ?? 0) > spaceThreshold ? space : likeliest;
    if (seen !== blank && seen !== previous) {
      text += classes[seen] ?? "";
      if (seen !== space) {
        sum += step[seen] ?? 0;
        count++;
      }
    }
    previous = seen;
  }
  return { text: text.replace(/ +/g, " ").trim(), score: count === 0 ? 0 : sum / count };
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) {
    if ((values[index] ?? 0) > (values[best] ?? 0)) best = index;
  }
  return best;
}
