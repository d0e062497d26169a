/**
 * Asks a running node over its Redis port. Where it listens and its password come from the same configuration
 * as the node's own: flags, environment, a file.
 */

import {
  ERROR_CODES,
  type ErrorCode,
  type ErrorFacts,
  type ErrorRemedy,
  TidemarkError,
} from '../base/errors.ts';
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
 * @throws TidemarkError TIDEMARK_REFUSED: nobody there (retry), or an error for an answer; the error that the
 *   node names in it.
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

/**
 * @param error What came instead of an answer; null when nothing came.
 * @param advice How another address is given.
 */
export function unanswered(
  { host, port }: NodeAddress,
  error: Error | null,
  advice = 'say by --host and --port where it listens',
): TidemarkError {
  const message =
    error === null
      ? `nobody answers at ${host}:${port}: start the node, or ${advice}`
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
  ['ERR unknown command', 'it is another server, not a Tidemark node'],
];

/** What to do about an error of the node's own, where it is not the call that is wrong. */
const REMEDIES: Partial<Readonly<Record<ErrorCode, ErrorRemedy>>> = {
  TIDEMARK_BUSY: 'retry',
  TIDEMARK_NOT_OPEN: 'retry', // It is about to stop; what comes next at the address may answer.
  TIDEMARK_DISK_FULL: 'retry',
  TIDEMARK_RESOURCES: 'retry',
  TIDEMARK_STATE_DIFFERS: 'retry',
  TIDEMARK_IO: 'repair',
  TIDEMARK_LOG_POISONED: 'repair',
  TIDEMARK_TREE_INVALID: 'repair',
  TIDEMARK_LOG_DAMAGED: 'restore',
  TIDEMARK_STATUS_DAMAGED: 'restore',
  TIDEMARK_CHECKPOINT_DAMAGED: 'restore',
};

const NAMED_ERROR = /^[A-Z]+ (?<code>TIDEMARK_[A-Z_]+): (?<message>.*)$/s;

/** The error that an answer is: that of the node where it names one (server/error-text.ts). */
export function refusal({ host, port }: NodeAddress, text: string): TidemarkError {
  const named = NAMED_ERROR.exec(text)?.groups;
  if (named !== undefined && Object.hasOwn(ERROR_CODES, named['code']!)) {
    const code = named['code'] as ErrorCode;
    return new TidemarkError(code, `${named['message']} (the node at ${host}:${port})`, {
      remedy: REMEDIES[code] ?? 'fix-call',
      facts: { host, port, ...nearestPoints(named['message']!) },
    });
  }
  const advice = ADVICE.find(([start]) => text.startsWith(start))?.[1];
  const message = `the node at ${host}:${port} answers: ${text}${advice === undefined ? '' : ` (${advice})`}`;
  return new TidemarkError('TIDEMARK_REFUSED', message, {
    remedy: advice === undefined ? 'retry' : 'fix-call',
    facts: { host, port },
  });
}

/** The points next to one that is not kept, as the message has them (engine/kept-points.ts). */
function nearestPoints(message: string): ErrorFacts {
  const facts: Record<string, number> = {};
  for (const [, side, index] of message.matchAll(/the nearest point (before|after) it is (\d+)/g)) {
    facts[`${side}Index`] = Number(index);
  }
  return facts;
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
