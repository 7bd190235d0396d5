// Failure class 9: a descriptor, a mapping or the kernel's cache that goes on showing the lower file after it was copied
// up. Each way of overwriting is tried with a reader that had the file open before.
import t from 'tap';
import { eachKind, type Stage } from '../support/daemon-stage.js';

const layers = `cd l1; for f in cp dd mmap trunc append rename; do seq 1 20000 >$f; done; head -c 4000000 /dev/zero >f; seq 1 40000 >$S/longer; echo short >$S/shorter`;

/** Over kernel overlayfs, over lamina with passthrough, and over lamina that moves the data itself. */
function everyWay(name: string, play: (stage: Stage) => void): void {
  void eachKind(t, name, { layers }, play);
  void eachKind(t, `${name}, without passthrough`, { layers, lamina: ['passthrough=off'] }, play);
}

everyWay('a descriptor that was opened before copy-up reads what is written after it', stage => {
  const { t } = stage;
  t.equal(
    stage.python(`
r = open('append', 'rb', buffering=0); r.read(10)
w = open('append', 'r+b', buffering=0); w.write(b'CHANGED'); w.seek(0, 2); w.write(b'END')
print(os.pread(r.fileno(), 7, 0), os.pread(r.fileno(), 9, os.fstat(r.fileno()).st_size - 3))
os.ftruncate(w.fileno(), 4)
print(os.fstat(r.fileno()).st_size, os.pread(r.fileno(), 100, 0), os.stat('append').st_size)`),
    `b'CHANGED' b'END'\n4 b'CHAN' 4`,
  );
});

const overwrite = (stage: Stage, file: string, script: string, source: string): void => {
  const { t } = stage;
  // The reader fills the page cache first and keeps its descriptor.
  stage.in(
    `exec 9<${file}; cat ${file} >/dev/null; ${script}; cmp ${file} $S/${source}; cmp <(cat /proc/self/fd/9) $S/${source}`,
  );
  t.equal(stage.in(`stat -c %s ${file}`), stage.sh(`stat -c %s ${source}`), `${file} by ${source}`);
};

everyWay('a lower file overwritten by a longer and a shorter one', stage => {
  overwrite(stage, 'cp', 'cp $S/longer cp', 'longer');
  overwrite(stage, 'cp', 'cp $S/shorter cp', 'shorter');
  overwrite(stage, 'dd', 'dd if=$S/longer of=dd bs=7777 conv=notrunc status=none', 'longer');
  overwrite(
    stage,
    'dd',
    'dd if=$S/shorter of=dd oflag=append conv=notrunc status=none; dd if=$S/shorter of=dd status=none',
    'shorter',
  );
  overwrite(stage, 'trunc', ': >trunc; cat $S/longer >>trunc', 'longer');
  stage.mount();
  stage.t.equal(stage.in('cmp cp $S/shorter; cmp dd $S/shorter; cmp trunc $S/longer'), '', 'after a remount');
});

everyWay('a lower file written through a shared mapping', stage => {
  const { t } = stage;
  t.equal(
    stage.python(`
r = os.open('mmap', os.O_RDONLY); os.pread(r, 100000, 0)
w = os.open('mmap', os.O_RDWR)
m = mmap.mmap(w, 0); m[0:6] = b'MAPPED'; m[50000:50003] = b'mid'; m.flush()
print(os.pread(r, 6, 0), os.pread(r, 3, 50000), os.pread(w, 6, 0))
os.pwrite(w, b'WRITTEN', 0); print(m[0:7])
p = mmap.mmap(os.open('mmap', os.O_RDONLY), 0, mmap.MAP_PRIVATE, mmap.PROT_READ); print(p[0:7])`),
    `b'MAPPED' b'mid' b'MAPPED'\nb'WRITTEN'\nb'WRITTEN'`,
  );
  stage.mount();
  t.equal(stage.in('head -c 7 mmap'), 'WRITTEN');
});

everyWay('many writers of one lower file copy it up once', stage => {
  const { t } = stage;
  const script =
    'for i in {0..9}; do printf $i | dd of=f bs=1 seek=$((i * 400000)) conv=notrunc status=none & done; wait';
  stage.in(script);
  t.equal(stage.in('tr -d "\\0" <f; stat -c %s f'), '01234567894000000\n');
});

everyWay('O_APPEND and O_DIRECT writers of a lower file', stage => {
  const { t } = stage;
  t.equal(
    stage.python(`
a = os.open('append', os.O_WRONLY | os.O_APPEND); b = os.open('append', os.O_WRONLY | os.O_APPEND)
for i in range(50): os.write(a, b'a'); os.write(b, b'b')
size = os.stat('append').st_size
d = os.open('dd', os.O_RDWR | os.O_DIRECT); page = mmap.mmap(-1, 4096); page.write(b'D' * 4096); os.pwrite(d, page, 4096)
with open('dd', 'rb') as f: f.seek(4095); edge = f.read(4098)
print(os.pread(os.open('append', os.O_RDONLY), 100, size - 100) == b'ab' * 50, edge.count(b'D'), edge[0:1] != b'D')`),
    'True 4096 True',
  );
});
