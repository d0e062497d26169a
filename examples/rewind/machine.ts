/** A shop: orders that can be taken back, and payments that cannot. */

import { machine, Rejection, table } from 'tidemark';

export interface Order {
  readonly item: string;
  readonly price: number;
}

export const shop = machine({
  name: 'shop',
  tables: { orders: table<Order>(), payments: table<{ amount: number; at: number }>() },
  // Money has moved, whatever becomes of the orders: a payment that is retried must still be known.
  keptAtRewind: ['payments'],
  commands: {
    place({ orders }, { id, item, price }: Order & { id: string }) {
      orders.set(id, { item, price });
    },
    pay({ orders, payments }, id: string, { time }) {
      const order = orders.get(id);
      if (order === undefined) throw new Rejection(`there is no order ${id}`);
      if (payments.has(id)) return 'paid before';
      payments.set(id, { amount: order.price, at: time });
      return 'paid';
    },
    remove: ({ orders }, id: string) => orders.delete(id),
  },
  queries: {
    order: ({ orders }, id: string) => orders.get(id) ?? null,
    payment: ({ payments }, id: string) => payments.get(id) ?? null,
  },
});
