/**
 * Asks a running node over its Redis port. Where it listens and its password come from the same configuration
 * as the node's own: flags, environment, a file.
 */

import { TidemarkError } from '../base/errors.ts';
import type { ConfigFlags } from './config/flags.ts';
import { requireConfig } from './config/resolve.ts';
import { ErrorReply, type Reply, RespClient } from './resp-client.ts';

export interface NodeAddress {
  readonly host: string;
  readonly port: number;
  readonly password: string | null;
}

/** Addresses that mean all of this machine's, and the one of them to connect to. */
const ANY_ADDRESS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

export async function nodeAddress(flags: ConfigFlags): Promise<NodeAddress> {
  const { redis } = await requireConfig(flags, process.env);
  const { host, port, password = null } = redis;
  return { host: ANY_ADDRESS[host] ?? host, port, password };
}

/** How long a node that is well takes at most for what it has at hand. */
export const ANSWER_MS_MAX = 10_000;

/**
 * @param waitMs Time for the answer; null waits for as long as the connection stands.
 * @throws TidemarkError TIDEMARK_REFUSED: nobody there (retry), or an error for an answer.
 */
export async function askNode(
  address: NodeAddress,
  request: readonly string[],
  waitMs: number | null,
): Promise<Reply> {
  const { password } = address;
  // With a user's name it does for a node without a password, too.
  const requests = password === null ? [request] : [['AUTH', 'default', password], request];
  const replies = await askAll(address, requests, waitMs);
  for (const reply of replies) {
    if (reply instanceof ErrorReply) throw refusal(address, reply.text);
  }
  return replies.at(-1) ?? null;
}

function askAll(
  address: NodeAddress,
  requests: readonly (readonly string[])[],
  waitMs: number | null,
): Promise<readonly Reply[]> {
  return new Promise((resolve, reject) => {
    const replies: Reply[] = [];
    const client = new RespClient({
      ...address,
      onReply(reply) {
        replies.push(reply);
        const isRefused = reply instanceof ErrorReply;
        if (isRefused || replies.length === requests.length) finish(() => resolve(replies));
      },
      onEnd: (error) => finish(() => reject(unanswered(address, error))),
    });
    const timer =
      waitMs === null ? undefined : setTimeout(() => finish(() => reject(unanswered(address, null))), waitMs);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
      client.destroy();
    };
    client.send(requests);
  });
}

/** @param error What came instead of an answer; null when nothing came. */
export function unanswered({ host, port }: NodeAddress, error: Error | null): TidemarkError {
  const message =
    error === null
      ? `nobody answers at ${host}:${port}: start the node, or say by --host and --port where it listens`
      : `what listens at ${host}:${port} does not speak the Redis protocol: is it another port of the node?`;
  return new TidemarkError('TIDEMARK_REFUSED', message, {
    remedy: error === null ? 'retry' : 'fix-call',
    facts: { host, port },
    ...(error === null ? {} : { cause: error }),
  });
}

/** What to do about an answer that begins so; every other is for a later try. */
const ADVICE: readonly (readonly [start: string, advice: string])[] = [
  ['NOAUTH', 'give its password by --password-file or TIDEMARK_REDIS_PASSWORD'],
  ['WRONGPASS', 'the password, by --password-file or TIDEMARK_REDIS_PASSWORD, is not the one of the node'],
  ['ERR TIDEMARK_POINT_', 'name a point that is kept'],
  ['ERR TIDEMARK_OPTION_INVALID', 'correct the call'],
  ['ERR TIDEMARK_REWIND_REFUSED', 'see the error of that code'],
  ['ERR unknown command', 'it is another server, not a Tidemark node'],
];

export function refusal({ host, port }: NodeAddress, text: string): TidemarkError {
  const advice = ADVICE.find(([start]) => text.startsWith(start))?.[1];
  const message = `the node at ${host}:${port} answers: ${text}${advice === undefined ? '' : ` (${advice})`}`;
  return new TidemarkError('TIDEMARK_REFUSED', message, {
    remedy: advice === undefined ? 'retry' : 'fix-call',
    facts: { host, port },
  });
}

/**
 * A reply of names and values, one after the other, as an object; what is neither text nor number is left
 * out.
 */
export function fieldsOf(reply: Reply): Record<string, string | number> {
  const words = Array.isArray(reply) ? (reply as readonly Reply[]) : [];
  const fields: Record<string, string | number> = {};
  for (let at = 0; at + 1 < words.length; at += 2) {
    const [name, value] = [words[at], words[at + 1]];
    const isPlain = typeof value === 'number' || typeof value === 'string';
    if (typeof name === 'string' && isPlain) fields[name] = asNumber(value);
  }
  return fields;
}

/** One value of such a reply, whatever it is; null when there is none of that name. */
export function fieldOf(reply: Reply, name: string): Reply {
  const words = Array.isArray(reply) ? (reply as readonly Reply[]) : [];
  const at = words.findIndex((word, place) => place % 2 === 0 && word === name);
  return at < 0 ? null : (words[at + 1] ?? null);
}

/** The protocol has no fractions: they come as text. */
function asNumber(value: string | number): string | number {
  return typeof value === 'string' && /^-?\d+\.\d+$/.test(value) ? Number(value) : value;
}
