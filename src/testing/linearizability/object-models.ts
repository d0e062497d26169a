/**
 * The small objects that histories are commonly made of: register, counter, list that is appended to, set.
 */

import { unreachable } from '../../base/assert.ts';
import { isSameJson, type Json } from '../history/operation.ts';
import { textOf } from './call.ts';
import type { Model } from './model.ts';
import { type Objects, objectModel } from './object-model.ts';

/**
 * Registers, null at first: `['read', name]` answers the value, `['write', name, value]` null, and `['cas',
 * name, from, to]` whether it was `from` and is `to` now.
 */
export const registerModel: Model<Objects<Json>> = objectModel<Json>({
  name: 'register',
  initial: null,
  calls: { read: 1, write: 2, cas: 3 },
  reads: ['read'],
  step(state, name, [first, second]) {
    if (name === 'read') return { state, answer: state };
    if (name === 'write') return { state: isSameJson(state, first!) ? state : first!, answer: null };
    const isEqual = isSameJson(state, first!);
    return { state: isEqual && !isSameJson(state, second!) ? second! : state, answer: isEqual };
  },
});

/** Counters, 0 at first: `['add', name, n]` answers the new value, `['read', name]` the value. */
export const counterModel: Model<Objects<number>> = objectModel<number>({
  name: 'counter',
  initial: 0,
  calls: { read: 1, add: 2 },
  reads: ['read'],
  step(state, name, [by]) {
    const next = name === 'add' ? state + Number(by) : state;
    return { state: next, answer: next };
  },
});

/** Lists, empty at first: `['append', name, item]` answers null, `['read', name]` the whole list. */
export const listModel: Model<Objects<readonly Json[]>> = objectModel<readonly Json[]>({
  name: 'list',
  initial: [],
  calls: { read: 1, append: 2 },
  reads: ['read'],
  step(state, name, [item]) {
    return name === 'read' ? { state, answer: state } : { state: [...state, item!], answer: null };
  },
});

/**
 * Sets of strings, empty at first: `['add', name, item]` and `['remove', name, item]` answer whether that
 * changed anything, `['contains', name, item]` whether it is there, `['read', name]` all items in order.
 */
export const setModel: Model<Objects<readonly string[]>> = objectModel<readonly string[]>({
  name: 'set',
  initial: [],
  calls: { read: 1, contains: 2, add: 2, remove: 2 },
  reads: ['read', 'contains'],
  step(state, name, [given]) {
    const item = textOf(given);
    const isThere = state.includes(item);
    switch (name) {
      case 'read':
        return { state, answer: state };
      case 'contains':
        return { state, answer: isThere };
      case 'add':
        return { state: isThere ? state : [...state, item].sort(), answer: !isThere };
      case 'remove':
        return { state: isThere ? state.filter((other) => other !== item) : state, answer: isThere };
      default:
        return unreachable(name as never);
    }
  },
});
