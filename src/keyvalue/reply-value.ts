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

/** An error among other answers, as in those of EXEC. */
export class ErrorReply {
  /** With its leading code, as in `ERR syntax error`. */
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Field and value, field and value: pairs of their own in RESP3, in turn in RESP2. */
export class PairList {
  readonly items: readonly ReplyValue[];

  constructor(items: readonly ReplyValue[]) {
    this.items = items;
  }
}

/** A command of a transaction that the state does not answer, for the server to answer in its place. */
export class ServerRequest {
  /** Its frame. */
  readonly frame: Uint8Array;

  constructor(frame: Uint8Array) {
    this.frame = frame;
  }
}

/** No array at all: what EXEC answers when a watched key has changed. RESP2 tells it from a null string. */
export class NullArray {}

export const NULL_ARRAY = new NullArray();

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
  | ErrorReply
  | PairList
  | ServerRequest
  | NullArray
  | readonly ReplyValue[]
  | ReadonlyMap<ReplyValue, ReplyValue>;

export const OK = 'OK';
