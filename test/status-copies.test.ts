/**
 * The copies of the status file (src/log/status-copies.ts). Goal: every state that a crash and one fault can
 * leave starts with the right content, and nothing else starts with a wrong one. Method: a walk through all
 * states of a model of persist, crash and repair, every combination of four copies, every byte of the file.
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { viewOf, writeU64 } from '../src/base/bytes.ts';
import { sha256 } from '../src/base/digest.ts';
import { toIndex, toTerm, toTimeline } from '../src/base/positions.ts';
import { MACHINE_NAME_MAX, MEMBERS_MAX } from '../src/log/json-fields.ts';
import {
  decodeStatus,
  EARLIER_VERSIONS_MAX,
  encodeStatus,
  NO_SERVICE,
  type Status,
  type StatusUpdate,
  updateStatus,
} from '../src/log/status-content.ts';
import {
  type CopiesDecision,
  type DecodedCopy,
  decideCopies,
  decodeCopy,
  describeCopies,
  encodeCopy,
  type NumberedStatus,
  numberStatus,
  STATUS_COPIES,
  STATUS_SLOT_BYTES,
} from '../src/log/status-copies.ts';

const SECTOR_BYTES = 512;

const status: Status = {
  clusterId: '00112233445566778899aabbccddeeff',
  nodeId: 1,
  incarnation: 1,
  machine: { name: 'keyvalue', version: 1 },
  earlierVersions: [],
  timeline: toTimeline(1),
  term: toTerm(7),
  view: 0,
  vote: 0,
  commitIndex: toIndex(812),
  firstIndex: toIndex(1),
  segmentSequence: 3,
  membership: [{ id: 1, role: 'voter' }],
  installing: null,
  service: NO_SERVICE,
};

const content = numberStatus(numberStatus(null, status), { ...status, commitIndex: toIndex(900) });

test('status copies: the bytes on disk do not change (format v1)', () => {
  const slot = Buffer.from(encodeCopy(content, 2));
  strictEqual(slot.subarray(0, 24).toString('hex'), '544d535441545553010002005d0100000200000000000000');
  strictEqual(
    slot.subarray(56, 56 + 349).toString('utf8'),
    '{"clusterId":"00112233445566778899aabbccddeeff","nodeId":1,"incarnation":1,' +
      '"machine":{"name":"keyvalue","version":1},"earlierVersions":[],"timeline":1,"term":7,"view":0,' +
      '"vote":0,"commitIndex":900,"firstIndex":1,"segmentSequence":3,' +
      '"membership":[{"id":1,"role":"voter"}],"installing":null,' +
      '"service":{"isRunning":false,"failuresMilli":0,"servedMs":0}}',
  );
  strictEqual(
    Buffer.from(sha256(slot)).toString('hex'),
    'b970e91f0326f42e6bf93dfaf3b75c6450197b709e5af13a1f096bd46aec568b',
  );
});

test('status copies: the largest status fits its slot, and comes back', () => {
  const max = Number.MAX_SAFE_INTEGER;
  const largest: Status = {
    ...status,
    nodeId: max,
    incarnation: max,
    machine: { name: '\u{ffff}'.repeat(MACHINE_NAME_MAX), version: max },
    earlierVersions: Array.from({ length: EARLIER_VERSIONS_MAX }, (_, at) => ({
      version: max - EARLIER_VERSIONS_MAX + at,
      lastIndex: toIndex(max - EARLIER_VERSIONS_MAX + at),
    })),
    timeline: toTimeline(max),
    term: toTerm(max),
    view: max,
    vote: max,
    commitIndex: toIndex(max),
    firstIndex: toIndex(max),
    segmentSequence: max,
    membership: Array.from({ length: MEMBERS_MAX }, (_, at) => ({
      id: max - MEMBERS_MAX + at,
      role: 'learner',
    })),
    installing: { index: toIndex(max), root: 'f'.repeat(64) },
    service: { isRunning: false, failuresMilli: max, servedMs: max },
  };
  const decoded = decodeCopy(encodeCopy(numberStatus(null, largest), 0), 0);
  deepStrictEqual(decoded.kind === 'valid' && decoded.content.status, largest);
});

function listOfVersions(length: number): string {
  return JSON.stringify(Array.from({ length }, (_, at) => ({ version: at + 1, lastIndex: at })));
}

const text = Buffer.from(encodeStatus(status)).toString('utf8');
for (const { name, changed, fault } of [
  { name: 'no JSON', changed: text.slice(0, -1), fault: 'text' },
  { name: 'nothing', changed: '', fault: 'text' },
  { name: 'a list', changed: '[]', fault: 'text' },
  { name: 'white space', changed: `${text} `, fault: 'text' },
  {
    name: 'a service that is none',
    changed: text.replace('"servedMs":0', '"servedMs":-1'),
    fault: 'service',
  },
  { name: 'an unknown field', changed: text.replace('"vote":0', '"vote":0,"x":1'), fault: 'text' },
  { name: 'a repeated field', changed: text.replace('"vote":0', '"vote":0,"vote":0'), fault: 'text' },
  { name: 'another notation', changed: text.replace('812', '8.12e2'), fault: 'text' },
  { name: 'a missing field', changed: text.replace('"vote":0,', ''), fault: 'vote' },
  { name: 'minus zero', changed: text.replace('"vote":0', '"vote":-0'), fault: 'vote' },
  { name: 'a fraction', changed: text.replace('"term":7', '"term":7.5'), fault: 'term' },
  { name: 'a text for a number', changed: text.replace('"term":7', '"term":"7"'), fault: 'term' },
  { name: 'more than 2^53-1', changed: text.replace('812', '9007199254740992'), fault: 'commitIndex' },
  { name: 'a cluster id too short', changed: text.replace('00112233', '001122'), fault: 'clusterId' },
  { name: 'a cluster id in capitals', changed: text.replace('aabb', 'AABB'), fault: 'clusterId' },
  { name: 'node 0', changed: text.replace('"nodeId":1', '"nodeId":0'), fault: 'nodeId' },
  {
    name: 'incarnation 0',
    changed: text.replace('"incarnation":1', '"incarnation":0'),
    fault: 'incarnation',
  },
  { name: 'timeline 0', changed: text.replace('"timeline":1', '"timeline":0'), fault: 'timeline' },
  { name: 'first index 0', changed: text.replace('"firstIndex":1', '"firstIndex":0'), fault: 'firstIndex' },
  {
    name: 'a machine with a control character',
    changed: text.replace('keyvalue', '\\u0007'),
    fault: 'machine',
  },
  { name: 'a machine without a name', changed: text.replace('keyvalue', ''), fault: 'machine' },
  ...[
    { name: 'versions that are no list', list: '{}' },
    { name: 'a version twice', list: '[{"version":1,"lastIndex":5},{"version":1,"lastIndex":6}]' },
    { name: 'an end of a version twice', list: '[{"version":1,"lastIndex":5},{"version":2,"lastIndex":5}]' },
    { name: 'version 0', list: '[{"version":0,"lastIndex":5}]' },
    { name: 'an earlier version that is the active one', list: '[{"version":3,"lastIndex":5}]' },
    { name: 'nine earlier versions', list: listOfVersions(EARLIER_VERSIONS_MAX + 1) },
  ].map(({ name, list }) => ({
    name,
    changed: text
      .replace('"version":1', `"version":${name.includes('active') ? 3 : 99}`)
      .replace('"earlierVersions":[]', `"earlierVersions":${list}`),
    fault: 'earlierVersions',
  })),
  { name: 'no members', changed: text.replace('{"id":1,"role":"voter"}', ''), fault: 'membership' },
  { name: 'an unknown role', changed: text.replace('"voter"', '"king"'), fault: 'membership' },
  {
    name: 'a member twice',
    changed: text.replace('"voter"}', '"voter"},{"id":1,"role":"voter"}'),
    fault: 'membership',
  },
  {
    name: 'a root too short',
    changed: text.replace('null', '{"index":1,"root":"ab"}'),
    fault: 'installing',
  },
]) {
  test(`status content: ${name} is refused`, () => {
    deepStrictEqual(decodeStatus(Buffer.from(changed, 'utf8')), { kind: 'invalid', fault });
  });
}

const voted = updateStatus(status, { vote: 2 });
for (const { name, before, fields } of [
  { name: 'term', before: status, fields: { term: toTerm(6) } },
  { name: 'commit index', before: status, fields: { commitIndex: toIndex(811) } },
  { name: 'segment sequence', before: status, fields: { segmentSequence: 2 } },
  { name: 'view', before: updateStatus(status, { view: 2 }), fields: { view: 1 } },
  {
    name: 'first index',
    before: updateStatus(status, { firstIndex: toIndex(9) }),
    fields: { firstIndex: toIndex(8) },
  },
  { name: 'incarnation', before: updateStatus(status, { incarnation: 2 }), fields: { incarnation: 1 } },
  {
    name: 'timeline',
    before: updateStatus(status, { timeline: toTimeline(2) }),
    fields: { timeline: toTimeline(1) },
  },
  { name: 'vote in one term', before: voted, fields: { vote: 3 } },
  { name: 'vote taken back', before: voted, fields: { vote: 0 } },
  { name: 'vote with an equal term', before: voted, fields: { term: toTerm(7), vote: 3 } },
  { name: 'no members', before: status, fields: { membership: [] } },
] satisfies { name: string; before: Status; fields: StatusUpdate }[]) {
  test(`status content: an update may not break the rule of: ${name}`, () => {
    throws(() => updateStatus(before, fields), InvariantViolation);
  });
}

test('status content: a vote is given once a term, and a new term starts without one', () => {
  strictEqual(voted.vote, 2);
  strictEqual(updateStatus(voted, { vote: 2 }).vote, 2);
  strictEqual(updateStatus(voted, { term: toTerm(8) }).vote, 0);
  strictEqual(updateStatus(voted, { term: toTerm(8), vote: 3 }).vote, 3);
});

// ------------------------------------------------------------------------------------------------- bytes

const slots = Array.from({ length: STATUS_COPIES }, (_, copy) => encodeCopy(content, copy));
const decodedSlots = slots.map((slot, copy) => decodeCopy(slot, copy));

/** Damages one slot and decides over all four. */
function decideWithDamage(copy: number, damage: (slot: Uint8Array) => void): CopiesDecision {
  const slot = Uint8Array.from(slots[copy]!);
  damage(slot);
  const isHarmless = Buffer.compare(slot, slots[copy]!) === 0;
  const decision = decideCopies(decodedSlots.with(copy, decodeCopy(slot, copy)));
  strictEqual(decision.kind, 'start');
  deepStrictEqual(decision.kind === 'start' && decision.newest, content);
  strictEqual(decision.kind === 'start' && decision.repairs.length, isHarmless ? 0 : 1);
  return decision;
}

test('status E1, H4: any byte of the file flipped or zeroed is noticed, and the content is right', () => {
  for (let copy = 0; copy < STATUS_COPIES; copy++) {
    for (let at = 0; at < STATUS_SLOT_BYTES; at++) {
      decideWithDamage(copy, (slot) => void (slot[at]! ^= 0xff));
      decideWithDamage(copy, (slot) => void (slot[at]! ^= 1 << (at & 7)));
      decideWithDamage(copy, (slot) => void (slot[at] = 0));
    }
  }
});

test('status E1: any set of 512-byte sectors of one copy zeroed or old is noticed', () => {
  const old = numberStatus(null, status);
  for (let copy = 0; copy < STATUS_COPIES; copy++) {
    const stale = encodeCopy(old, copy);
    for (let set = 0; set < 2 ** (STATUS_SLOT_BYTES / SECTOR_BYTES); set++) {
      for (const source of [new Uint8Array(STATUS_SLOT_BYTES), stale]) {
        decideWithDamage(copy, (slot) => {
          for (let sector = 0; sector < STATUS_SLOT_BYTES / SECTOR_BYTES; sector++) {
            if (((set >> sector) & 1) === 0) continue;
            const from = sector * SECTOR_BYTES;
            slot.set(source.subarray(from, from + SECTOR_BYTES), from);
          }
        });
      }
    }
  }
});

test('status E1: a slot cut short at any byte is noticed', () => {
  const slot = slots[0]!;
  for (let bytes = 0; bytes < STATUS_SLOT_BYTES; bytes++) {
    const fault = bytes === 0 ? 'absent' : 'short';
    deepStrictEqual(decodeCopy(slot.subarray(0, bytes), 0), { kind: 'invalid', fault });
  }
});

for (const { name, change, want } of [
  {
    name: 'a newer version',
    change: (slot) => viewOf(slot).setUint16(8, 2, true),
    want: { kind: 'newer', version: 2 },
  },
  { name: 'version 0', change: (slot) => viewOf(slot).setUint16(8, 0, true), want: fault('version') },
  { name: 'copy 4', change: (slot) => viewOf(slot).setUint16(10, 4, true), want: fault('header') },
  {
    name: 'a length beyond the slot',
    change: (slot) => viewOf(slot).setUint32(12, 4009, true),
    want: fault('header'),
  },
  {
    name: 'the largest length',
    change: (slot) => viewOf(slot).setUint32(12, 2 ** 32 - 1, true),
    want: fault('header'),
  },
  {
    name: 'a length too small',
    change: (slot) => viewOf(slot).setUint32(12, 20, true),
    want: fault('padding'),
  },
  { name: 'length 0', change: (slot) => void slot.fill(0, 12, 16).fill(0, 56, 4064), want: fault('content') },
  { name: 'sequence 0', change: (slot) => writeU64(viewOf(slot), 16, 0), want: fault('header') },
  { name: 'a sequence above 2^53-1', change: (slot) => void slot.fill(255, 16, 24), want: fault('header') },
  {
    name: 'sequence 1 with a parent',
    change: (slot) => writeU64(viewOf(slot), 16, 1),
    want: fault('header'),
  },
  { name: 'sequence 2 without a parent', change: (slot) => void slot.fill(0, 24, 56), want: fault('header') },
  { name: 'a byte of padding', change: (slot) => void (slot[4063] = 1), want: fault('padding') },
  { name: 'another magic', change: (slot) => void (slot[0] = 1), want: fault('magic') },
] satisfies { name: string; change: (slot: Uint8Array) => void; want: DecodedCopy }[]) {
  test(`status copies: ${name} under a right digest is refused`, () => {
    const slot = Uint8Array.from(slots[1]!);
    change(slot);
    slot.set(sha256(slot.subarray(0, 4064)), 4064);
    deepStrictEqual(decodeCopy(slot, 1), want);
  });
}

test('status E1: a copy in the slot of another is recognised', () => {
  for (let copy = 0; copy < STATUS_COPIES; copy++) {
    for (let slot = 0; slot < STATUS_COPIES; slot++) {
      const decoded = decodeCopy(encodeCopy(content, copy), slot);
      deepStrictEqual(
        decoded,
        copy === slot ? { kind: 'valid', content } : { kind: 'misdirected', meantFor: copy, content },
      );
    }
  }
});

function fault(name: string): DecodedCopy {
  return { kind: 'invalid', fault: name } as DecodedCopy;
}

// ---------------------------------------------------------------------------------------------- decisions

/**
 * In the model a content is a word: its sequence is its length, its parent the word without the last letter.
 */
type Word = string;

/** A slot is a word, `!word` for a copy in the wrong place, or one of the signs below. */
type Slot = string;
const TORN = '-';
const NEWER = '^';

function wordContent(word: Word): NumberedStatus {
  return { sequence: word.length, parent: word.slice(0, -1), digest: word, status };
}

function decodeSlot(slot: Slot): DecodedCopy {
  if (slot === TORN) return { kind: 'invalid', fault: 'digest' };
  if (slot === NEWER) return { kind: 'newer', version: 2 };
  if (slot.startsWith('!')) return { kind: 'misdirected', meantFor: 0, content: wordContent(slot.slice(1)) };
  return { kind: 'valid', content: wordContent(slot) };
}

/** The word that a start takes, or why there is none. */
function outcomeOf(decision: CopiesDecision): string {
  if (decision.kind === 'start') return decision.newest.digest;
  return decision.kind === 'damaged' ? decision.reason : decision.kind;
}

for (const [line, want] of [
  // E1: one copy lost, torn, stale, misdirected.
  ['abc abc abc abc', 'abc'],
  ['abc - abc abc', 'abc'],
  ['abc abc abc ab', 'abc'],
  ['a abc abc abc', 'abc'],
  ['abc !abc abc abc', 'abc'],
  ['abc abc !a abc', 'abc'],
  // A stale copy of another history, as a slot leaves it that takes no writes any more.
  ['axy abcde abcde abcde', 'abcde'],
  ['abx abcd abcd abcd', 'abcd'],
  // A crash in the middle of a persist of abcd over abc.
  ['abcd abc abc abc', 'abcd'],
  ['abcd - abc abc', 'abcd'],
  ['- abc abc abc', 'abc'],
  ['abcd abcd abcd -', 'abcd'],
  // The same with one more copy damaged or stale.
  ['- - abc abc', 'abc'],
  ['abcd - - abc', 'abcd'],
  ['abcd - ab abc', 'abcd'],
  ['abcd abcd - ab', 'abcd'],
  ['abcd ab abc abc', 'abcd'],
  ['ab - abc abc', 'abc'],
  ['abcd abcd - -', 'abcd'],
  // A misdirected copy vouches for the parent.
  ['abcd - !abc ab', 'abcd'],
  // And what it says itself is not forgotten.
  ['abc !abcd abc abc', 'abcd'],
  ['- abc !abcd abc', 'abcd'],
  // E2: fork.
  ['abc abd abc abc', 'fork'],
  ['abc abc abd abd', 'fork'],
  ['abcd abcd abc abx', 'fork'],
  ['abc abc abc !abd', 'fork'],
  // E2: gap.
  ['abcde abc abc abc', 'gap'],
  ['abcd abcd ab ab', 'gap'],
  ['abcd ab - -', 'gap'],
  ['abc abc abc !abcde', 'gap'],
  // E2: the parent is not what came before.
  ['abcd abx abx abx', 'unconnected'],
  ['abcd abcd abx abx', 'unconnected'],
  ['abcd abx - -', 'unconnected'],
  ['abc abc abc !abxd', 'unconnected'],
  // E3: too little is left.
  ['- - - -', 'lost'],
  ['!abc !abc !abc !abc', 'lost'],
  ['abc - - -', 'too-few'],
  ['abc !abc - -', 'too-few'],
  // A newer format anywhere.
  ['abc abc abc ^', 'newer'],
  ['^ - - -', 'newer'],
] as const) {
  test(`status E1, E2, E3: ${line} → ${want}`, () => {
    strictEqual(outcomeOf(decideCopies(line.split(' ').map(decodeSlot))), want);
  });
}

test('status E2: no combination of copies starts without proof, and their order never matters', (t) => {
  const letters = ['abcd', 'abc', 'ab', 'a', 'abce', 'abxd', 'abcdef', TORN, '!abcd', '!abc', NEWER];
  const counts: Record<string, number> = {};
  const outcomes = new Map<string, string>();
  for (let number = 0; number < letters.length ** STATUS_COPIES; number++) {
    const line = Array.from({ length: STATUS_COPIES }, (_, at) => {
      return letters[Math.floor(number / letters.length ** at) % letters.length]!;
    });
    const decision = decideCopies(line.map(decodeSlot));
    const outcome = outcomeOf(decision);
    const sorted = line.toSorted().join(' ');
    strictEqual(outcomes.get(sorted) ?? outcome, outcome, sorted);
    outcomes.set(sorted, outcome);
    const kind = decision.kind === 'start' ? 'start' : outcome;
    counts[kind] = (counts[kind] ?? 0) + 1;
    if (decision.kind === 'start') assertProven(line, decision);
  }
  t.diagnostic(JSON.stringify(counts));
  strictEqual(outcomes.size, 1001);
});

/** What must hold of every start, said without the algorithm. */
function assertProven(line: readonly Slot[], decision: CopiesDecision & { kind: 'start' }): void {
  const shown = line.join(' ');
  const taken = decision.newest.digest;
  const valid = line.filter((slot) => /^\w+$/.test(slot));
  const witnesses = line.filter((slot) => /^!?\w+$/.test(slot)).map((slot) => slot.replace('!', ''));
  ok(!line.includes(NEWER), shown);
  ok(valid.length >= 2 && witnesses.includes(taken), shown);
  ok(witnesses.filter((word) => word === taken).length >= 2 || witnesses.includes(taken.slice(0, -1)), shown);
  ok(valid.filter((word) => word !== taken && word !== taken.slice(0, -1)).length <= 1, shown);
  const taller = witnesses.filter((word) => word.length >= taken.length && word !== taken);
  deepStrictEqual(taller, [], shown);
  strictEqual(new Set(witnesses.map((word) => word.length)).size, new Set(witnesses).size, shown);

  const wrong = line.flatMap((slot, at) => (slot === taken ? [] : [at]));
  deepStrictEqual(ascending(decision.repairs.map(({ copy }) => copy)), wrong, shown);
  deepStrictEqual(ascending(decision.rewriteOrder), [0, 1, 2, 3], shown);
}

function ascending(numbers: readonly number[]): number[] {
  return numbers.toSorted((left, right) => left - right);
}

// -------------------------------------------------------------------------------------------------- model

/** A node and its four slots, between two writes. */
interface Model {
  readonly slots: readonly Slot[];
  /** What the node has shown to others; a start may not fall behind it. */
  readonly shown: Word;
  /** What a persist was writing over `shown` when the node last died, or is writing now. */
  readonly begun: Word | null;
  /** The content, the slots still to be written, and whether it is a persist or a repair; null when idle. */
  readonly writing: {
    readonly word: Word;
    readonly left: readonly number[];
    readonly by: 'persist' | 'repair';
  } | null;
  readonly crashesLeft: number;
  readonly faultsLeft: number;
  readonly persistsLeft: number;
  /** A write of a repair went astray: from here a stop is allowed, a wrong answer is not. */
  readonly mayStop: boolean;
}

const START: Model = {
  slots: ['abc', 'abc', 'abc', 'abc'],
  shown: 'abc',
  begun: null,
  writing: null,
  crashesLeft: 0,
  faultsLeft: 0,
  persistsLeft: 0,
  mayStop: false,
};

/** Everything that can happen next. */
function successorsOf(model: Model): Model[] {
  return [...workOf(model), ...crashesOf(model), ...faultsOf(model)];
}

function workOf(model: Model): Model[] {
  const { writing } = model;
  if (writing === null) {
    if (model.persistsLeft === 0) return [];
    // Each persist adds a letter of its own, so that contents of equal sequence differ.
    const word = model.shown + 'xyz'[model.persistsLeft]!;
    const begun = { word, left: [0, 1, 2, 3], by: 'persist' } as const;
    return [{ ...model, begun: word, writing: begun, persistsLeft: model.persistsLeft - 1 }];
  }
  const [slot, ...left] = writing.left;
  if (slot === undefined) return [{ ...model, shown: writing.word, begun: null, writing: null }];
  return [{ ...model, slots: model.slots.with(slot, writing.word), writing: { ...writing, left } }];
}

/** The power fails now, with or without the write under way, or in the middle of it. */
function crashesOf(model: Model): Model[] {
  if (model.crashesLeft === 0) return [];
  const slot = model.writing?.left[0];
  const images =
    slot === undefined
      ? [model.slots]
      : [model.slots, model.slots.with(slot, TORN), model.slots.with(slot, model.writing!.word)];
  return images.flatMap((slots) => startOf({ ...model, slots, crashesLeft: model.crashesLeft - 1 }));
}

function startOf(model: Model): Model[] {
  const decision = decideCopies(model.slots.map(decodeSlot));
  const outcome = outcomeOf(decision);
  if (decision.kind !== 'start') {
    ok(model.mayStop, `${model.slots.join(' ')} stops (${outcome}), having shown ${model.shown}`);
    return [];
  }
  ok(outcome === model.shown || outcome === model.begun, `${model.slots.join(' ')} starts with ${outcome}`);
  return [{ ...model, writing: { word: outcome, left: decision.rewriteOrder, by: 'repair' } }];
}

/**
 * A copy rots or falls back to any older content; the write under way is lost, torn in silence, or astray.
 */
function faultsOf(model: Model): Model[] {
  if (model.faultsLeft === 0) return [];
  const after = { ...model, faultsLeft: model.faultsLeft - 1 };
  const rotten = model.slots.flatMap((slot, at) => {
    const older = slot === TORN || slot.startsWith('!') ? [] : prefixesOf(slot);
    return [TORN, ...older].map((fallen) => ({ ...after, slots: model.slots.with(at, fallen) }));
  });

  const slot = model.writing?.left[0];
  if (slot === undefined) return rotten;
  const { word, left, by } = model.writing!;
  const writing = { word, left: left.slice(1), by };
  const astray = [0, 1, 2, 3]
    .filter((other) => other !== slot)
    .map((other) => ({
      ...after,
      writing,
      slots: model.slots.with(other, `!${word}`),
      mayStop: model.mayStop || by === 'repair',
    }));
  return [
    ...rotten,
    ...astray,
    { ...after, writing },
    { ...after, writing, slots: model.slots.with(slot, TORN) },
  ];
}

function prefixesOf(word: Word): Word[] {
  return Array.from({ length: word.length - 1 }, (_, at) => word.slice(0, at + 1));
}

/** Walks every state that can be reached; returns their number. */
function walk(start: Model): number {
  const seen = new Set<string>();
  const stack = [start];
  for (let model = stack.pop(); model !== undefined; model = stack.pop()) {
    const key = JSON.stringify(model);
    if (seen.has(key)) continue;
    seen.add(key);
    stack.push(...successorsOf(model));
  }
  return seen.size;
}

test('status E1, B9: every crash, four deep, with at most one fault starts with the right content', (t) => {
  const states = walk({ ...START, crashesLeft: 4, faultsLeft: 1, persistsLeft: 2 });
  t.diagnostic(`${states} states`);
  ok(states > 10_000);
});

test('status E2: with two faults a start is right or loud', (t) => {
  const states = walk({ ...START, crashesLeft: 2, faultsLeft: 2, persistsLeft: 2, mayStop: true });
  t.diagnostic(`${states} states`);
  ok(states > 10_000);
});

test('status E2: the table for the operator names every copy', () => {
  const table = [
    'copy  sequence          digest            parent            verdict',
    '0     4                 abcd              abc               valid',
    '1     3                 abc               ab                valid',
    '2     -                 -                 -                 invalid: digest',
    '3     4                 abcd              abc               misdirected: is copy 0',
  ].join('\n');
  strictEqual(describeCopies(['abcd', 'abc', TORN, '!abcd'].map(decodeSlot)), table);
});
