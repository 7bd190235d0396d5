// The node table on its own: ids, generations, and memory that follows what is known.
import t from 'tap';
import { NodeTable } from '../../src/fuse/nodes.js';

t.test('ids are dense, reused after the last forget, and never mistaken for their predecessors', async t => {
  const table = new NodeTable<object>({});
  const a = {};
  const id = table.remember(a);
  t.equal(table.remember(a), id);
  t.equal(table.forget(id, 1), undefined);
  t.equal(table.get(id), a);
  t.equal(table.forget(id, 1), a);
  t.equal(table.get(id), undefined);
  t.equal(table.idOf(a), 0);
  const b = {};
  t.equal(table.remember(b), id);
  t.equal(table.generation(id), 1);
  t.equal(table.forget(99, 1), undefined);
});

t.test('after a hundred thousand nodes come and go, few remain, and the rest still works', async t => {
  const table = new NodeTable<object>({});
  const nodes = Array.from({ length: 100_000 }, () => ({}));
  const ids = nodes.map(node => table.remember(node));
  t.equal(new Set(ids).size, nodes.length);
  const generations = new Map(ids.map(id => [id, table.generation(id)]));
  ids.forEach((id, i) => {
    if (i % 1000 !== 0) table.forget(id, 1);
  });
  t.equal(table.size, 101);
  for (let i = 0; i < nodes.length; i += 1000)
    t.equal(table.get(ids[i]!), nodes[i], 'what is known keeps its id');
  const again = nodes.map(node => table.remember(node));
  t.equal(new Set(again).size, nodes.length);
  const stale = again.filter(
    (id, i) => i % 1000 !== 0 && generations.has(id) && table.generation(id) === generations.get(id),
  );
  t.same(stale, [], 'an id that is given again has another generation');
});
