// containerd's filters as a table: what they accept, and what they are not. The answers are those of containerd 1.6's own
// package `filters` for the same lines, except that a pattern that is none is refused and not said to match nothing.
import t from 'tap';
import { E, isErrno } from '../../src/base/index.js';
import { type Fields, parseFilters } from '../../src/drivers/containerd-filters.js';

/** The objects that are filtered, by the name that the table has for them. */
const OBJECTS: Record<string, Record<string, string>> = {
  a: { name: 'a', kind: 'active', parent: '', 'labels.foo': 'true', 'labels.long/path.to': 'x y' },
  b: { name: 'b', kind: 'committed', parent: 'a', 'labels.foo': 'omg' },
  c: { name: 'c/d..e', kind: 'view', parent: 'a', 'labels.q"x': '1,2' },
};

const fieldsOf =
  (object: Record<string, string>): Fields =>
  path =>
    object[path.join('.')];

const accepted: readonly (readonly [string | readonly string[], string])[] = [
  [[], 'abc'],
  ['', 'abc'],
  ['name', 'abc'],
  ['labels.foo', 'ab'],
  ['labels.none', ''],
  ['none', ''],
  ['name==a', 'a'],
  ['name == a', 'a'],
  ['name!=a', 'bc'],
  ['labels.foo!=omg', 'ac'],
  ['labels.none!=x', 'abc'],
  ['name==a,kind==active', 'a'],
  ['name==a, kind==view', ''],
  [['name==a', 'kind==view'], 'ac'],
  [['name==none', ''], 'abc'],
  ['parent==a', 'bc'],
  ['parent==""', 'a'],
  ['name==c/d..e', 'c'],
  ['name=="c/d..e"', 'c'],
  ['labels."foo"==omg', 'b'],
  ['labels."long/path.to"', 'a'],
  ['labels."long/path.to"=="x y"', 'a'],
  ['labels."q\\"x"=="1,2"', 'c'],
  ['"name"==a', 'a'],
  ['name=="\\x61"', 'a'],
  ['name=="\\u0061"', 'a'],
  ['name=="\\U00000061"', 'a'],
  ['name=="\\141"', 'a'],
  ['name=="\\t"', ''],
  ['name~=^[ab]$', 'ab'],
  ['name~=/^c\\/d/', 'c'],
  ['name~=|^c/d|', 'c'],
  ['name~="(?i)^A$"', 'a'],
  ['labels.foo~=true|omg', 'ab'],
  ['labels.none~=".*"', 'abc'],
  ['labels.none~=^.*', 'abc'],
  ['labels.none~=^.+', ''],
  ['name~=c\\/d', 'c'],
  ['parent~=^.?$,kind!=view', 'ab'],
];

t.test('what filters accept', async t => {
  for (const [filter, names] of accepted) {
    const accepts = parseFilters(typeof filter === 'string' ? [filter] : filter);
    const found = Object.keys(OBJECTS).filter(name => accepts(fieldsOf(OBJECTS[name]!)));
    t.equal(found.join(''), names, JSON.stringify(filter));
  }
});

const refused = [
  ...['name==', 'name=a', 'name===a', 'name=~a', '==a', ',', 'name,', ',name', 'name==a,,kind==view'],
  ...['name.', '.name', 'labels.-x', 'name==a b', 'name=="a', 'name=="a" b', 'name==/a/', 'name=="\\q"'],
  ...[
    'name~=/(/',
    'name~=[',
    'name == a == b',
    '"name',
    'name==a ,kind',
    'name==a ',
    'labels.none~=.*',
    'name=="\\U00110000"',
    'name==.a',
  ],
];

t.test('what is no filter', async t => {
  for (const filter of refused) {
    let error: unknown;
    try {
      parseFilters(['name==a', filter]);
    } catch (caught) {
      error = caught;
    }
    t.ok(isErrno(error, E.EINVAL), `${JSON.stringify(filter)}: ${String(error)}`);
  }
});
