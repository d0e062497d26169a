/**
 * A cluster of Raft cores moved by hand, one line at a time: nothing is delivered, made durable or ticked
 * that a line does not name. Scenarios are made of such lines, and of what each of them brings about.
 *
 *     cluster 3 [terms ID=1,1,2 …] [compacted ID=N]   replicas 1 to 3 vote; logs after the first entry
 *     join ID | recovering ID                         an empty replica; one whose disk lost what it had
 *     tick ID [N] | pause ID N                        time passes for one; all at once, after a pause
 *     deliver FROM>TO [N|last]                        the next message, the next N, or the last first
 *     drop FROM>TO | repeat FROM>TO                   the next message is lost, or arrives and stays
 *     status ID | log ID                              the oldest status or log write becomes durable
 *     propose ID [BYTES] | read ID [lease] | transfer ID TO
 *     change ID voters=1,2 learners=3 promoting=3
 *     load ID | install ID | gone ID | compact ID INDEX | evict ID INDEX
 *     crash ID [N] | restart ID | damage ID INDEX     N writes get through; entries after INDEX are lost
 *     elect ID                                        it stands until it leads; nothing of it is shown
 *     settle [without ID,…]                           everything is delivered and durable, but for those;
 *                                                     what is sent and written meanwhile is not shown
 *     show                                            where everybody is
 */

import { toIndex, toTerm } from '../../src/base/positions.ts';
import type { Effect, Membership, Message, RaftOptions } from '../../src/protocols/raft/index.ts';
import { votersUpTo } from './raft-checks.ts';
import { emptyDisk, firstDisk, type HostDisk, type HostEntry, RaftHost, type World } from './raft-host.ts';

interface Sent {
  readonly message: Message;
  readonly entries: readonly HostEntry[];
}

/** How things come about, rather than what. */
const WORK: readonly Effect['kind'][] = ['send', 'persist-status', 'append-log'];

/** Rounds of `settle` and ticks of `elect`: more means that it never ends. */
const ROUNDS_MAX = 200;

export class RaftScript implements World {
  readonly hosts = new Map<number, RaftHost>();
  /** By `from>to`, in the order in which they were sent. */
  readonly channels = new Map<string, Sent[]>();
  readonly effects: { readonly id: number; readonly effect: Effect }[] = [];
  readonly #options: RaftOptions;
  /** Only what the cluster comes to is shown, not how. */
  #isBrief = false;
  #printed: string[] = [];
  #request = 0;

  constructor(options: RaftOptions = {}) {
    this.#options = options;
  }

  send(message: Message, entries: readonly HostEntry[]): void {
    const name = `${message.from}>${message.to}`;
    const channel = this.channels.get(name) ?? [];
    this.channels.set(name, channel);
    channel.push({ message, entries });
  }

  watch({ id }: RaftHost, effect: Effect): void {
    this.effects.push({ id, effect });
    if (!this.#isBrief || !WORK.includes(effect.kind)) this.#printed.push(`${id} ${shownEffect(effect)}`);
  }

  crashes(): boolean {
    return false;
  }

  host(id: number): RaftHost {
    return this.hosts.get(id)!;
  }

  view(id: number): ReturnType<RaftHost['core']['inspect']> {
    return this.host(id).core.inspect();
  }

  /** Lines, one after the other. @returns What the last one brought about. */
  run(...lines: string[]): string[] {
    for (const line of lines) {
      this.#printed = [];
      this.#runLine(line.trim().split(/\s+/));
    }
    return this.#printed;
  }

  /** Effects of one kind so far, of one replica. */
  seen<Kind extends Effect['kind']>(id: number, kind: Kind): Extract<Effect, { kind: Kind }>[] {
    return this.effects
      .filter((each) => each.id === id && each.effect.kind === kind)
      .map(({ effect }) => effect as Extract<Effect, { kind: Kind }>);
  }

  /** Messages of one kind on their way. */
  underway<Kind extends Message['kind']>(name: string, kind: Kind): Extract<Message, { kind: Kind }>[] {
    return (this.channels.get(name) ?? [])
      .map(({ message }) => message)
      .filter((message): message is Extract<Message, { kind: Kind }> => message.kind === kind);
  }

  #runLine([verb, ...words]: string[]): void {
    const id = Number(words[0]);
    const request = ++this.#request;
    switch (verb) {
      case 'cluster':
        return this.#begin(words);
      case 'join':
        return this.#boot(id, emptyDisk());
      case 'recovering':
        return this.#boot(id, {
          ...emptyDisk(),
          incarnation: this.hosts.get(id)?.disk.incarnation ?? 1,
          standing: 'recovering',
        });
      case 'tick':
        for (let at = Number(words[1] ?? 1); at > 0; at--) this.host(id).tick();
        return undefined;
      case 'pause':
        return this.host(id).tick(Number(words[1]));
      case 'deliver':
        return this.#deliver(words[0]!, words[1] ?? '1');
      case 'drop':
        this.channels.get(words[0]!)?.shift();
        return undefined;
      case 'repeat':
        return this.#repeat(words[0]!);
      case 'status':
      case 'log':
        return this.host(id).persistOldest(verb);
      case 'propose':
        return this.host(id).propose(request, request, Number(words[1] ?? 8));
      case 'read':
        return this.host(id).step({
          kind: 'read',
          request,
          consistency: words[1] === 'lease' ? 'lease' : 'read-index',
        });
      case 'transfer':
        return this.host(id).step({ kind: 'transfer', request, to: Number(words[1]) });
      case 'change':
        return this.#change(id, request, words.slice(1));
      default:
        return this.#runOnHost(verb!, id, words);
    }
  }

  #runOnHost(verb: string, id: number, words: readonly string[]): void {
    const index = toIndex(Number(words[1] ?? 0) || 0);
    switch (verb) {
      case 'load':
        return this.host(id).load();
      case 'gone':
        return this.#loseState(id);
      case 'install':
        return this.host(id).install();
      case 'compact':
        return this.host(id).compactTo(index);
      case 'evict':
        return this.host(id).step({ kind: 'evicted', first: index });
      case 'crash':
        return this.host(id).crash(Number(words[1] ?? 0));
      case 'restart':
        return this.#boot(id, this.host(id).disk);
      case 'damage':
        this.host(id).disk.entries.length = index - this.host(id).disk.compactedTo;
        return undefined;
      case 'elect':
        return this.#elect(id);
      case 'settle':
        return this.#settle(words[0] === 'without' ? words[1]!.split(',').map(Number) : []);
      case 'show':
        this.#printed = [...this.hosts.values()].map(shownHost);
        return undefined;
      default:
        throw new Error(`no verb ${verb}`);
    }
  }

  #begin([count, ...words]: string[]): void {
    const terms = new Map<number, number[]>();
    const compacted = new Map<number, number>();
    for (const word of words) {
      const [name, value] = word.split('=');
      if (name === 'terms' || name === 'compacted' || value === undefined) continue;
      if (words.indexOf(word) > words.indexOf('compacted') && words.includes('compacted')) {
        compacted.set(Number(name), Number(value));
      } else terms.set(Number(name), value.split(',').map(Number));
    }
    for (let id = 1; id <= Number(count); id++) {
      const disk = firstDisk(votersUpTo(Number(count)));
      for (const term of terms.get(id) ?? []) {
        disk.entries.push({ term: toTerm(term), value: term, bytes: 8, membership: null });
        disk.term = toTerm(term);
      }
      this.#boot(id, disk);
      const index = compacted.get(id);
      if (index !== undefined) this.host(id).compactTo(toIndex(index));
    }
    this.#printed = [];
  }

  #boot(id: number, disk: HostDisk): void {
    this.hosts.set(id, new RaftHost(id, disk, this, { seed: id, options: this.#options }));
  }

  #deliver(name: string, count: string): void {
    const channel = this.channels.get(name) ?? [];
    const messages = count === 'last' ? channel.splice(-1) : channel.splice(0, Number(count));
    for (const { message, entries } of messages) this.host(message.to).receive(message, entries);
  }

  #repeat(name: string): void {
    const sent = this.channels.get(name)?.[0];
    if (sent !== undefined) this.host(sent.message.to).receive(sent.message, sent.entries);
  }

  #change(id: number, request: number, words: readonly string[]): void {
    const { voters, learners, promoting } = this.view(id).membership;
    const change = { voters, learners, promoting: promoting as number[] };
    for (const word of words) {
      const [name, ids] = word.split('=');
      Object.assign(change, { [name!]: ids === '' ? [] : ids!.split(',').map(Number) });
    }
    this.host(id).step({ kind: 'change-membership', request, change });
  }

  #loseState(id: number): void {
    const host = this.host(id);
    const { index } = host.fetch!.state;
    host.fetch = null;
    host.step({ kind: 'state-failed', index });
  }

  #elect(id: number): void {
    for (let round = 0; round < ROUNDS_MAX && this.view(id).role !== 'leader'; round++) {
      for (const host of this.hosts.values()) if (host.id === id || round < 10) host.tick();
      this.#settle([]);
    }
    this.#printed = [];
  }

  #settle(without: readonly number[]): void {
    this.#isBrief = true;
    this.#deliverAll(without);
    this.#isBrief = false;
  }

  #deliverAll(without: readonly number[]): void {
    const isCut = (id: number): boolean => without.includes(id) || this.hosts.get(id)?.isUp !== true;
    for (const [name, channel] of this.channels) {
      if (name.split('>').some((id) => isCut(Number(id)))) channel.length = 0;
    }
    for (let round = 0; round < ROUNDS_MAX; round++) {
      let moved = 0;
      for (const host of this.hosts.values()) {
        if (isCut(host.id)) continue;
        while (host.pending.length > 0) {
          host.persistOldest(host.pending[0]!.kind);
          moved++;
        }
        while (host.loads.length > 0) host.load();
        if (host.fetch !== null) host.install();
      }
      for (const [name, channel] of this.channels) {
        const [from, to] = name.split('>').map(Number);
        const messages = channel.splice(0);
        if (isCut(from!) || isCut(to!)) continue;
        for (const { message, entries } of messages) this.host(to!).receive(message, entries);
        moved += messages.length;
      }
      if (moved === 0) return;
    }
    throw new Error('it never settles');
  }
}

function shownHost({ id, isUp, core }: RaftHost): string {
  const { role, standing, term, leader, compactedTo, committed, durable, last, lastTerm, membership } =
    core.inspect();
  const who = isUp ? `${role}${standing === 'recovering' ? ' recovering' : ''}` : 'down';
  const from = compactedTo > 0 ? `compacted=${compactedTo} ` : '';
  const indices = `${from}committed=${committed} durable=${durable} last=${last}/${lastTerm}`;
  return `${id} ${who} term=${term} leader=${leader} ${indices} ${shownMembership(membership)}`;
}

function shownMembership({ voters, outgoing, learners, promoting }: Membership): string {
  const out = outgoing.length > 0 ? ` outgoing=${outgoing.join(',')}` : '';
  const learn = learners.length > 0 ? ` learners=${learners.join(',')}` : '';
  const promote = promoting.length > 0 ? ` promoting=${promoting.join(',')}` : '';
  return `voters=${voters.join(',')}${out}${learn}${promote}`;
}

function shownEffect(effect: Effect): string {
  switch (effect.kind) {
    case 'send':
      return `send ${shownMessage(effect.message)}${effect.after === null ? '' : ` after=${effect.after}`}`;
    case 'use-membership':
      return `use-membership ${effect.index}: ${shownMembership(effect.membership)}`;
    case 'append-log': {
      const { persist, truncateAfter, first, last, runs, content } = effect;
      const cut = truncateAfter === null ? '' : ` truncate-after=${truncateAfter}`;
      return `append-log #${persist}${cut} ${first}..${last} ${shownRuns(runs)} (${content.kind})`;
    }
    case 'persist-status':
      return shownStatus(effect);
    case 'fetch-state':
      return `fetch-state ${effect.state.index}/${effect.state.term} from=${effect.from}`;
    case 'violation':
      return `violation ${shownFields(effect.violation)}`;
    default:
      return `${effect.kind} ${shownFields(effect)}`.trim();
  }
}

function shownStatus({ persist, term, vote, standing }: Extract<Effect, { kind: 'persist-status' }>): string {
  return `persist-status #${persist} term=${term} vote=${vote}${standing === 'voting' ? '' : ' recovering'}`;
}

function shownMessage(message: Message): string {
  const { kind, from: _, incarnation: __, ...rest } = message;
  if (message.kind === 'append') {
    const { to, term, previousIndex, previousTerm, runs, sizes, committed } = message;
    const entries = sizes.length === 0 ? 'no entries' : `${sizes.length} entries ${shownRuns(runs)}`;
    const previous = `previous=${previousIndex}/${previousTerm}`;
    return `append to=${to} term=${term} ${previous} ${entries} committed=${committed}`;
  }
  if (message.kind === 'offer-state') {
    const { to, term, state } = message;
    return `offer-state to=${to} term=${term} state=${state.index}/${state.term}`;
  }
  return `${kind} ${shownFields(rest)}`;
}

function shownRuns(runs: readonly { readonly first: number; readonly term: number }[]): string {
  return runs.map(({ first, term }) => `${first}:t${term}`).join(' ');
}

function shownFields(fields: object): string {
  return Object.entries(fields)
    .filter(([name, value]) => name !== 'kind' && name !== 'request' && value !== false)
    .map(([name, value]) => `${name}=${value === null ? 'none' : String(value)}`)
    .join(' ');
}
