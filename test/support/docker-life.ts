// The life of images, containers and volumes on Docker, step by step: what is typed, and what is to be seen. The same for every
// storage; what a script prints is compared between them, so each prints what the user would see.
export interface Step {
  readonly name: string;
  /** bash; see Docker.try. */
  readonly script: string;
  /** What has to be seen, on every storage. */
  readonly shows?: RegExp;
  /** It is to fail. */
  readonly fails?: true;
  /** Each storage shows its own. */
  readonly differs?: true;
}

/** own CONTAINER: a place on disk that is its layer's; owned CONTAINER FILE: what it has there, on disk if that is a directory. */
const OWN = `data() { $D inspect -f "{{.GraphDriver.Data.$2}}" "$1"; }
own() { case $STORAGE in thin) echo "$(data $1 Pool)#$(data $1 DeviceName)";; *) data $1 UpperDir;; esac; }
owned() { case $STORAGE in thin) $D cp "$1:$2" - | tar -xO;; *) cat "$(own $1)$2";; esac; }`;
const RUN = '$D run --rm --network none';

export const IMAGES: readonly Step[] = [
  {
    name: 'import',
    script: `tar -C rootfs -c . | $D import - base:1; $D images base:1 --format '{{.Size}}'
      ${RUN} base:1 ls -lnR /data /etc`,
    shows: /12 +34 .*deep/,
  },
  {
    name: 'an image with sparse files, hard links and large ids',
    script: `cp -a rootfs odd; truncate -s 5M odd/sparse; echo end >>odd/sparse; echo a >odd/one; ln odd/one odd/two
      echo b >odd/own; chown 3000000000:2000000 odd/own; setfattr -n user.k -v v odd/own; touch -d @1600000000 odd odd/*
      tar -C odd -S --format=pax --numeric-owner -cf odd.tar .; $D import odd.tar odd:1
      ${RUN} odd:1 sh -c 'stat -c "%n %h %u:%g %s %Y" /one /two /own /sparse; tail -c 4 /sparse'`,
    shows:
      /one 2 0:0 2 1600000000\n[\s\S]*own 1 3000000000:2000000 2 [\s\S]*sparse 1 0:0 5242884 [\s\S]*end\n/,
  },
  {
    name: 'build from a Dockerfile',
    script: `mkdir -p ctx; echo one >ctx/one; echo two >ctx/two; touch -d @1600000000 ctx/*
      cat >ctx/Dockerfile <<'END'
FROM base:1
RUN mkdir /made && echo built >/made/by-run && chmod 2755 /made && rm /data/doomed
COPY one /copied/one
RUN cat /copied/one >/made/from-copy; ln /made/from-copy /made/link; ln -s from-copy /made/symlink
COPY two /copied/two
RUN rm -r /data/deep && mkdir /data/deep && cat /copied/two >/made/last
CMD ["cat", "/made/last"]
END
      $D build -t built:1 ctx`,
    shows: /Successfully tagged built:1/,
  },
  {
    name: 'what was built',
    script: `${RUN} built:1; ${RUN} built:1 sh -c 'ls -lnR /made /copied; find /data | sort'`,
    shows: /two[\s\S]*from-copy/,
  },
  {
    name: 'the history shows the layers and their sizes',
    script: `$D history --no-trunc --format '{{.Size}} {{.CreatedBy}}' built:1`,
    shows: /6B .*rm -r[\s\S]*108894B|4B .*COPY|MB/,
  },
  {
    name: 'a second build takes everything from the cache',
    script: `$D build -t built:again ctx | grep -c 'Using cache'`,
    shows: /^6$/m,
  },
  {
    name: 'after a change of a copied file, only the later layers are rebuilt',
    script: `echo changed >ctx/two; $D build -t built:2 ctx; ${RUN} built:2; ${RUN} built:1`,
    shows: /Using cache[\s\S]*changed\ntwo/,
  },
  {
    name: 'BuildKit builds it too',
    script: `DOCKER_BUILDKIT=1 $D build --progress=plain --network none -t bk:1 ctx >bk.log 2>&1 || cat bk.log
      ${RUN} bk:1; ${RUN} bk:1 sh -c 'ls -lnR /made /copied; find /data | sort'`,
    shows: /changed[\s\S]*from-copy/,
  },
];

export const CONTAINERS: readonly Step[] = [
  {
    name: 'a new file is in the container’s layer and not in the image',
    script: `${OWN}; $D run --name c1 --network none built:2 sh -c 'echo new >/new; cat /new'
      owned c1 /new; ${RUN} built:2 ls /new || echo "and not in the image"`,
    shows: /^new\nnew\n[\s\S]*and not in the image/,
  },
  {
    name: 'appending to an image’s file copies it up, and the image keeps the old one',
    script: `${OWN}; $D run --name c2 --network none built:2 sh -c 'echo more >>/data/greeting; cat /data/greeting'
      owned c2 /data/greeting; ${RUN} built:2 cat /data/greeting`,
    shows: /^hello\nmore\nhello\nmore\nhello\n$/,
  },
  {
    name: 'diff',
    script: `$D run --name c3 --network none built:2 sh -c 'cd /data; rm greeting; mkdir deep/er; mv numbers deep/;
      chmod 700 /made; ln -s x /made/dangling; rm -r /copied; mkdir /copied; touch /copied/one; rm /made/link'
      for c in c1 c2 c3; do $D diff $c | sort -k2; done`,
    shows: /D \/data\/greeting/,
  },
  {
    name: 'inspect leads to the file on disk',
    script: `${OWN}; $D run -d --name live --network none built:2 sh -c 'echo here >/here; sleep 1000' >/dev/null
      until $D exec live test -s /here; do :; done
      owned live /here; cat "$(data live MergedDir)/here"
      test $STORAGE = thin && test $(data live DeviceSize) -gt 100000000 || test -d "$(data live WorkDir)"
      test $STORAGE = thin && echo 1 || data live LowerDir | tr : '\\n' | while read dir; do ls "$dir/data/greeting" 2>&1; done | grep -vc 'No such'
      $D inspect -f '{{.GraphDriver.Name}}' live built:2`,
    shows: /^here\nhere\n1\n/,
  },
  {
    name: 'cp, out of and into containers, running or not',
    script: `for c in live c1; do
        echo "into $c" >in; $D cp in $c:/tmp/in; $D cp $c:/tmp/in out; cat out; $D cp ctx $c:/tmp/; done
      $D cp live:/data - | tar -tv --numeric-owner | sort -k6; $D exec live ls /tmp/ctx`,
    shows: /into live\ninto c1/,
  },
  {
    name: 'ps -s shows what is written',
    script: `$D ps -as --format '{{.Names}} {{.Size}}' | sort`,
    shows: /c1 \d+B/,
  },
  {
    name: 'commit',
    script: `$D commit -m 'mine' c2 committed:1; $D history --format '{{.Size}} {{.Comment}}' committed:1
      ${RUN} committed:1 cat /data/greeting
      $D commit c3 committed:3 >/dev/null; ${RUN} committed:3 sh -c 'stat -c "%n %a %u %s %F" /made/*; find /data /copied | sort'`,
    shows: /hello\nmore\n/,
  },
  {
    name: 'commit of a running container',
    script: `$D commit live committed:live >/dev/null; ${RUN} committed:live cat /here; $D exec live cat /here`,
    shows: /here\nhere/,
  },
  {
    name: 'export',
    script: `for c in c1 c2 c3 live; do $D export $c | tar -tv --numeric-owner | grep -v ' etc/' | sort -k6; done`,
    shows: /data\/greeting/,
  },
  {
    name: 'save, remove, load',
    script: `$D save committed:3 committed:1 built:2 -o saved.tar; tar -tf saved.tar | wc -l
      $D rmi -f committed:3 committed:1 >/dev/null; ! $D inspect committed:3 >/dev/null
      $D load -i saved.tar | sort; ${RUN} committed:3 sh -c 'find /data /copied /made | sort'; ${RUN} committed:1 cat /data/greeting`,
    shows: /copied\/one[\s\S]*hello\nmore/,
  },
  {
    name: 'push and pull through a registry',
    script: `R=127.0.0.1:$PORT/$V; $D tag committed:3 $R:3; $D push -q $R:3; $D rmi $R:3 committed:3 >/dev/null
      $D pull -q $R:3; ${RUN} $R:3 sh -c 'stat -c "%n %a %u %s %F" /made/*; find /data /copied | sort'`,
    shows: /\/copied\/one/,
  },
  {
    name: 'a container that is restarted keeps its files',
    script: `$D restart -t 0 live; $D exec live cat /here; $D start -a c1; $D diff c1 | sort -k2`,
    shows: /here[\s\S]*A \/new/,
  },
  {
    name: 'system df',
    script: `$D system df --format '{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}'`,
    shows: /Images/,
  },
  {
    name: 'rm makes the file vanish',
    script: `${OWN}; all=; for c in c1 c2 c3 live; do all="$all $(own $c)"; done
      $D rm -f c1 c2 c3 live; for place in $all; do
        case $STORAGE in thin) $LAMINA volume ls "\${place%#*}" | grep -w "\${place#*#}";; *) ls -d $place 2>/dev/null;; esac; done; $D ps -aq | wc -l`,
    shows: /^c1\nc2\nc3\nlive\n0\n$/,
  },
];

export const VOLUMES: readonly Step[] = [
  {
    name: 'a volume outlives its containers',
    script: `$D volume create -d $V v1
      ${RUN} -v v1:/vol base:1 sh -c 'echo kept >/vol/file; chown 7:8 /vol/file'
      ${RUN} -v v1:/vol:ro base:1 sh -c 'exec 2>&1; cat /vol/file; ls -ln /vol; touch /vol/x'`,
    fails: true,
    shows: /kept[\s\S]*7 +8[\s\S]*Read-only/,
  },
  {
    name: 'the first mount takes over what the image has there',
    script: `$D volume create -d $V v2 >/dev/null; ${RUN} -v v2:/data base:1 ls -ln /data; ${RUN} -v v2:/other base:1 ls -ln /other`,
    shows: /greeting[\s\S]*greeting/,
  },
  {
    name: 'two containers share it, beside a bind mount',
    script: `mkdir -p bound; echo bound >bound/file
      $D run -d --name writer --network none -v v1:/vol -v $S/bound:/bound base:1 sh -c 'cat /bound/file >/vol/from-bound; echo back >/bound/new; sleep 1000' >/dev/null
      until test -s bound/new; do :; done; cat bound/new
      ${RUN} -v v1:/vol base:1 cat /vol/from-bound; $D volume rm v1 2>&1 | sed 's/\\[.*//'; $D rm -f writer; ${RUN} -v v1:/vol base:1 ls /vol`,
    shows: /back\nbound\n[\s\S]*volume is in use[\s\S]*from-bound/,
  },
  {
    name: 'volumes are listed, inspected and removed',
    script: `$D volume ls -qf driver=$V | sort; $D volume inspect -f '{{.Name}} {{.Driver}}' v1 v2
      path=$($D volume inspect -f '{{.Mountpoint}}' v1); cat "$path/file"; $D volume rm v1 v2; test -e "$path" || echo gone; $D volume ls -qf driver=$V`,
    shows: /kept\nv1\nv2\ngone/,
  },
  {
    name: 'a volume that cannot be made says why',
    script: `! $D volume create -d $V -o nonsense=1 bad >/dev/null 2>&1 || exit 0; $D volume inspect bad`,
    fails: true,
  },
];

/** What only laminafs's layers can do. */
export const OWN_LAYERS: readonly Step[] = [
  {
    name: 'hard links of an image stay linked when one is written to, and in what is committed',
    script: `cat >ctx/Linked <<'END'
FROM base:1
RUN echo one >/first && ln /first /second
END
      $D build -q -t linked:1 -f ctx/Linked ctx >/dev/null
      $D run --name linked --network none linked:1 sh -c 'echo more >>/first; cat /second; stat -c %h /second'; $D diff linked | sort
      $D commit linked linked:2 >/dev/null; ${RUN} linked:2 sh -c 'cat /second; stat -c %h /second'
      $D rm linked >/dev/null; $D rmi linked:1 linked:2 >/dev/null`,
    shows: /^one\nmore\n2\nC \/first\nC \/second\none\nmore\n2\n$/,
  },
  {
    name: '--storage-opt size= is what a container can write',
    // A thin layer has a file system of its own, and cannot be smaller than the base.
    script: `case $STORAGE in thin) mib=310;; *) mib=20;; esac
      $D run --name sized --network none --storage-opt size=\${mib}M base:1 sh -c 'exec 2>&1
        dd if=/dev/zero of=/file bs=1M count=400; wc -c </file' >sized.out; grep -o 'No space left.*' sized.out
      test $(tail -1 sized.out) -le $((mib << 20)) -a $(tail -1 sized.out) -gt $((mib * 800000)) && echo "as much as it may"
      $D diff sized; $D rm sized`,
    shows: /No space left on device[\s\S]*as much as it may\n[\s\S]*A \/file/,
  },
  {
    name: 'info says where everything is, and on what',
    script: `$D info -f '{{.Driver}}{{range .DriverStatus}}\n{{index . 0}}: {{index . 1}}{{end}}'`,
    differs: true,
    shows: /^lamina-test.*\nRoot: .*\/store\nBackend: (union|thin)\n[\s\S]*Backing Filesystem: /,
  },
];

/** What only laminafs's volumes can do. */
export const OWN_VOLUMES: readonly Step[] = [
  {
    name: 'wrong options are refused by name',
    script: `for o in nonsense=1 size=many size=0 size=1000001 backend=cloud snapshot-of=nobody; do $D volume create -d $V -o $o bad; done; $D volume ls -qf driver=$V; false`,
    fails: true,
    shows:
      /volume option nonsense: there are size, backend, snapshot-of\n[\s\S]*size="many" is no size[\s\S]*size="0"[\s\S]*size=1000001[\s\S]*backend="cloud": there are directory and thin[\s\S]*volume nobody: no such/,
  },
  {
    name: 'size= is what fits',
    script: `$D volume create -d $V -o size=16M sized; ${RUN} -v sized:/vol base:1 sh -c 'exec 2>&1; ls -A /vol; dd if=/dev/zero of=/vol/file bs=1M count=32; wc -c </vol/file'`,
    shows: /No space left on device[\s\S]*1[0-5][0-9]{6}\n$/,
  },
  {
    name: 'snapshots are independent of what they were taken of',
    script: `$D volume create -d $V plain >/dev/null; ${RUN} -v plain:/vol base:1 sh -c 'echo old >/vol/file; ln /vol/file /vol/link; chown 5:6 /vol/file'
      $D volume create -d $V -o snapshot-of=plain plain-snap; ${RUN} -v plain:/vol base:1 sh -c 'echo new >/vol/file'
      ${RUN} -v plain-snap:/vol base:1 sh -c 'cat /vol/file; ls -ln /vol'
      $D volume create -d $V -o snapshot-of=sized sized-snap; ${RUN} -v sized-snap:/vol base:1 sh -c 'wc -c </vol/file'
      $D volume inspect -f '{{.Status.SnapshotOf}} {{.Status.Size}} {{.Status.Backend}}' sized-snap`,
    shows: /old\n[\s\S]* 2 5 +6 [\s\S]*sized 16777216 directory/,
  },
  {
    name: 'the same wish again is fine, another is not',
    script: `$D volume create -d $V -o size=16M sized; $D volume create -d $V -o size=17M sized; $D volume inspect -f '{{.Status.Size}}' sized`,
    shows: /16777216/,
  },
  {
    name: 'a thin volume and its snapshot',
    script: `$D volume create -d $V -o backend=thin -o size=64M thin1 >/dev/null; ${RUN} -v thin1:/vol base:1 sh -c 'exec 2>&1
        ls -A /vol; echo old >/vol/file; dd if=/dev/zero of=/vol/big bs=1M count=100; rm /vol/big'
      $D run -d --name holder --network none -v thin1:/vol base:1 sh -c 'echo held >>/vol/file; sleep 1000' >/dev/null
      until $D exec holder sed -n 2p /vol/file | grep -q held; do :; done
      $D volume create -d $V -o snapshot-of=thin1 thin2 >/dev/null; $D exec holder sh -c 'echo after >>/vol/file'
      ${RUN} -v thin2:/vol base:1 cat /vol/file; $D exec holder cat /vol/file; $D volume rm thin1 2>&1 | sed 's/ - .*//'
      $D volume inspect -f '{{.Status.Backend}} {{.Status.Size}} {{.Status.SnapshotOf}} {{.Status.Holders}}' thin2; $D volume create -d $V -o snapshot-of=thin1 -o size=65M bad
      $D rm -f holder; $D volume rm thin1 thin2; $LAMINA volume ls store/pool | grep -c volume-`,
    fails: true,
    shows:
      /No space left[\s\S]*old\nheld\nold\nheld\nafter\n.*in use[\s\S]*thin 67108864 thin1 0\n.*a thin snapshot is as large as its origin[\s\S]*thin1\nthin2\n0\n$/,
  },
  {
    name: 'removal leaves nothing',
    script: `$D volume rm plain plain-snap sized sized-snap; find store/volumes -mindepth 1; grep -c $S/store/volumes /proc/self/mountinfo; losetup -l | grep -c $S`,
    fails: true,
    shows: /^plain\nplain-snap\nsized\nsized-snap\n0\n0\n$/,
  },
];
