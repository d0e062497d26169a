/**
 * What a command of the key-value machine answers with. A small closed set, chosen so that the usual answers
 * cost nothing: no object is made for OK, for null or for a count. Errors are not here: they are thrown.
 */

/** Text that a person reads: RESP3 marks it as such, RESP2 has it as a bulk string. */
export class VerbatimText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * - `string`: a status line, such as OK. Never text of a client: that is bytes.
 * - `number` and `bigint`: integers of 64 bits.
 * - `Uint8Array`: a bulk string; a view where the value is the state's.
 * - `Map`: a map in RESP3, keys and values in turn in RESP2.
 */
export type ReplyValue =
  | string
  | number
  | bigint
  | null
  | Uint8Array
  | VerbatimText
  | readonly ReplyValue[]
  | ReadonlyMap<ReplyValue, ReplyValue>;

export const OK = 'OK';
