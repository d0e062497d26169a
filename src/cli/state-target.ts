/**
 * Where a state is that a verb reads or changes, as people write it:
 *
 *     ./data             a data directory: its newest state
 *     ./data@812         as it was behind entry 812; any point in history (engine/point.ts)
 *     ./data@tag:release as it was where that tag stands
 *     localhost:6401     a running node, by its Redis port; also :6401
 *     redis://:secret@host:6401
 *
 * A directory whose name looks like an address is written with a slash: `./localhost:6401`.
 */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import type { TreePosition } from '../base/merkle/diff-states.ts';
import { type Clock, systemClock } from '../base/time.ts';
import { Rejection } from '../engine/machine.ts';
import { parsePoint } from '../engine/point.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import { encodePatch, PATCH_CONFLICT, type RecordChange } from '../keyvalue/patch.ts';
import { readStatus } from '../log/status.ts';
import { open } from '../node/open.ts';
import { readState, type StoredState } from '../node/stored-state.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import type { NodeAddress } from './node-client.ts';
import { RemoteNode } from './remote-node.ts';

export type StateTarget =
  | { readonly kind: 'directory'; readonly dir: string; readonly at: string | null }
  | { readonly kind: 'node'; readonly address: NodeAddress };

const ADDRESS = /^(?<host>\[[0-9a-f:]+\]|[a-z0-9.-]*):(?<port>\d{1,5})$/i;
const DEFAULT_PORT = 6401;

export function parseTarget(text: string): StateTarget {
  if (text.startsWith('redis://')) return { kind: 'node', address: addressOfUrl(text) };
  const address = ADDRESS.exec(text)?.groups;
  if (address !== undefined) {
    const host = address['host']!.replace(/^\[|\]$/g, '') || '127.0.0.1';
    return { kind: 'node', address: { host, port: Number(address['port']), password: knownPassword() } };
  }
  const at = text.lastIndexOf('@');
  if (at < 1 || !isPoint(text.slice(at + 1))) return { kind: 'directory', dir: text, at: null };
  return { kind: 'directory', dir: text.slice(0, at), at: text.slice(at + 1) };
}

/** Names of directories may have an `@` too. */
function isPoint(text: string): boolean {
  try {
    parsePoint(text, systemClock.now());
    return true;
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_POINT_INVALID')) return false;
    throw error;
  }
}

function addressOfUrl(text: string): NodeAddress {
  if (!URL.canParse(text)) throw wrongTarget(text, 'is no address: redis://host:port');
  const { hostname, port, password } = new URL(text);
  return {
    host: hostname.replace(/^\[|\]$/g, '') || '127.0.0.1',
    port: port === '' ? DEFAULT_PORT : Number(port),
    password: password === '' ? knownPassword() : decodeURIComponent(password),
  };
}

/** As that of every verb that asks a node. */
function knownPassword(): string | null {
  return process.env['TIDEMARK_REDIS_PASSWORD'] ?? null;
}

/** Opens a state to read. Close it. In a directory time stands still, and no key goes. */
export async function openState(target: StateTarget): Promise<StoredState | ReadableState> {
  if (target.kind === 'directory') {
    const { dir, at } = target;
    const state = await readState(at == null ? { dir } : { dir, at });
    // A delta goes to the standard output.
    for (const warning of state.warnings ?? []) process.stderr.write(`tidemark: warning: ${warning}\n`);
    return state;
  }
  const node = new RemoteNode(target.address);
  try {
    const state = await node.hold();
    const close = async (): Promise<void> => {
      await state.close();
      await node.close();
    };
    return { ...state, close };
  } catch (error) {
    await node.close();
    throw error;
  }
}

/** A state of a node, in memory: nodes and values are found by their place alone. */
export interface ReadableState extends StoredState {
  /** By the clock of the node, in milliseconds since 1970: keys whose deadline has passed go. */
  readonly now: number;
  read(wanted: readonly TreePosition[]): Promise<readonly (Uint8Array | null)[]>;
}

/** A node whose state is changed. */
export interface WritableNode {
  readonly name: string;
  /** Holds its state as it is now. */
  hold(): Promise<ReadableState>;
  /** Changes records, all of them or, when one had changed meanwhile, none. */
  patch(changes: readonly RecordChange[]): Promise<'done' | 'conflict'>;
  close(): Promise<void>;
}

/** A running node, or that of a stopped directory, which is opened. Close it. */
export async function openWritable(target: StateTarget): Promise<WritableNode> {
  if (target.kind === 'node') return new RemoteNode(target.address);
  const { dir, at } = target;
  if (at !== null) throw wrongTarget(dir, 'is changed as it is now, and not as it was');
  const { status } = await readStatus(new NodeFileSystem(), dir); // `open` would make what is not there.
  if (status.machine.name !== keyValueMachine.name) {
    throw wrongTarget(dir, `has data of the machine ${status.machine.name}, which its own program changes`);
  }
  // Keys expire by the clock. It stands still, so that nothing happens to the state but what is asked for.
  const clock = { ...systemClock, now: () => standsAt };
  let standsAt = 0;
  const node = await openUnlocked(dir, clock);
  const held = await node.hold();
  standsAt = held.facts.time;
  held.release();
  return {
    name: dir,
    hold: async () => holdOf(dir, node, standsAt),
    patch: (changes) => patchNode(node, changes),
    close: () => node.close(),
  };
}

type KeyValueNode = Awaited<ReturnType<typeof open>>;

async function openUnlocked(dir: string, clock: Clock): Promise<KeyValueNode> {
  try {
    return await open({ dir, doors: { clock } });
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_LOCKED')) throw error;
    throw new TidemarkError('TIDEMARK_LOCKED', `${error.message}. Name its port instead: localhost:6401`, {
      remedy: error.remedy,
      facts: error.facts,
      cause: error,
    });
  }
}

async function holdOf(name: string, node: KeyValueNode, now: number): Promise<ReadableState> {
  const held = await node.hold();
  return {
    name,
    root: held.root,
    keys: held.keys,
    facts: held.facts,
    now,
    read: (wanted) => held.read(wanted),
    close: async () => held.release(),
  };
}

function patchNode(node: KeyValueNode, changes: readonly RecordChange[]): Promise<'done' | 'conflict'> {
  return new Promise((resolve, reject) => {
    node.ordering.enqueue(encodePatch(changes), {
      settle: () => resolve('done'),
      fail(error) {
        if (error instanceof Rejection && error.message.startsWith(PATCH_CONFLICT)) resolve('conflict');
        else reject(error);
      },
    });
  });
}

function wrongTarget(target: string, reason: string): TidemarkError {
  return new TidemarkError('TIDEMARK_OPTION_INVALID', `${target} ${reason}`, {
    remedy: 'fix-call',
    facts: { target },
  });
}
