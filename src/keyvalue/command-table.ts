/** Finds a command by the bytes of its name, upper or lower case alike, without making a string of them. */

import { assert } from '../base/assert.ts';
import { lowerCase, type Request } from './request.ts';

/** What every command of the Redis port has, whoever runs it. */
export interface CommandEntry {
  /** In lower case. */
  readonly name: string;
  /** Number of arguments, the name included; below 0 it is the least number, as Redis counts. */
  readonly arity: number;
  /** Positions of the keys among the arguments; `last` -1 is the last argument, all zero for none. */
  readonly keys: KeyPositions;
  /** One line for COMMAND DOCS. */
  readonly summary: string;
  /** What it belongs to, as Redis groups its commands. */
  readonly group: string;
}

/** A command whose second word chooses among commands of their own, named `container|word`. */
export interface Container<Entry extends CommandEntry> {
  readonly subcommands?: readonly Entry[];
}

export interface KeyPositions {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

interface Slot<Entry> {
  readonly entry: Entry;
  readonly name: Uint8Array;
  readonly next: Slot<Entry> | null;
}

/** A power of two, several times the number of commands, so that a chain seldom has a second slot. */
const SLOTS = 2048;

/** No subcommand has a longer name. */
const SUBCOMMAND_BYTES_MAX = 32;

const LOWER_CASE = Uint8Array.from({ length: 256 }, (_, byte) => lowerCase(byte));

export class CommandTable<Entry extends CommandEntry & Container<Entry>> {
  readonly entries: readonly Entry[];
  readonly #slots: (Slot<Entry> | null)[] = Array.from({ length: SLOTS }, () => null);
  readonly #containers = new Map<Entry, ReadonlyMap<string, Entry>>();
  readonly #nameBytesMax: number;

  constructor(entries: readonly Entry[]) {
    this.entries = entries;
    this.#nameBytesMax = Math.max(...entries.map((entry) => entry.name.length));
    for (const entry of entries) {
      const name = Buffer.from(entry.name);
      assert(entry.name === entry.name.toLowerCase(), `${entry.name} is in lower case`);
      assert(this.#find(name, 0, name.length) === null, `one command has the name ${entry.name}`);
      const slot = slotOf(name, 0, name.length);
      this.#slots[slot] = { entry, name, next: this.#slots[slot] ?? null };
      if (entry.subcommands !== undefined) this.#containers.set(entry, byLastWord(entry.subcommands));
    }
  }

  /** The command that the request names, or null. Of a container, itself when no subcommand is named. */
  find(request: Request): Entry | null {
    const found = this.#find(request.bytes, request.argumentStart(0), request.argumentLength(0));
    if (found === null || found.subcommands === undefined || request.count === 1) return found;
    if (request.argumentLength(1) > SUBCOMMAND_BYTES_MAX) return found;
    return this.#containers.get(found)?.get(request.text(1).toLowerCase()) ?? found;
  }

  findName(name: string): Entry | null {
    const bytes = Buffer.from(name);
    return this.#find(bytes, 0, bytes.length);
  }

  #find(bytes: Uint8Array, start: number, length: number): Entry | null {
    if (length > this.#nameBytesMax) return null;
    let slot = this.#slots[slotOf(bytes, start, length)] ?? null;
    while (slot !== null) {
      if (isNamed(slot.name, bytes, start, length)) return slot.entry;
      slot = slot.next;
    }
    return null;
  }
}

/** Whether a request with `count` arguments may call the command. */
export function fitsArity(entry: CommandEntry, count: number): boolean {
  return entry.arity >= 0 ? count === entry.arity : count >= -entry.arity;
}

function byLastWord<Entry extends CommandEntry>(entries: readonly Entry[]): ReadonlyMap<string, Entry> {
  return new Map(entries.map((entry) => [entry.name.slice(entry.name.indexOf('|') + 1), entry]));
}

function slotOf(bytes: Uint8Array, start: number, length: number): number {
  let hash = length;
  for (let at = start; at < start + length; at++) {
    hash = (Math.imul(hash, 31) + LOWER_CASE[bytes[at]!]!) | 0;
  }
  return hash & (SLOTS - 1);
}

function isNamed(name: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (name.length !== length) return false;
  for (let at = 0; at < length; at++) {
    if (LOWER_CASE[bytes[start + at]!] !== name[at]) return false;
  }
  return true;
}
