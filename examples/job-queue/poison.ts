/** Which jobs of the example no worker can do. */

export function isPoison(id: string): boolean {
  return Number(id) % 40 === 0;
}
