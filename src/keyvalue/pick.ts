/**
 * Random choices for answers (RANDOMKEY, HRANDFIELD), which differ from node to node and change nothing. A
 * command that writes never makes one.
 *
 * Source: Marsaglia, "Xorshift RNGs", 2003: the generator of 32 bits.
 */

let word = 0x9e3779b9;

/** An integer in [0, below). */
export function pick(below: number): number {
  return Math.floor(pickPart() * below);
}

/** A number in [0, 1). */
export function pickPart(): number {
  word ^= word << 13;
  word ^= word >>> 17;
  word ^= word << 5;
  return (word >>> 0) / 2 ** 32;
}
