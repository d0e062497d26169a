/**
 * Colours for people: on a terminal, unless NO_COLOR asks for none; FORCE_COLOR asks for them elsewhere too.
 * Never in what `--json` prints.
 */

import { styleText } from 'node:util';

export type Paint = 'red' | 'yellow' | 'green' | 'bold' | 'dim';

/** @param stream Where it will be written. */
export function paint(style: Paint, text: string, stream: NodeJS.WriteStream = process.stderr): string {
  return styleText(style, text, { stream });
}
