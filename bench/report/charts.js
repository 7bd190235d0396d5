// The two kinds of chart: rows of dots on a logarithmic axis, and growth curves; and how subjects look. Plot and d3 are globals, and so
// is what is made here, for draw.js.
/* global Plot, d3 */
globalThis.charts = (() => {
  /** Narrower than this, names stand above their rows. */
  const NARROW = 560;
  const MORE_IS_BETTER = new Set(['MB/s', 'kIOPS']);
  const BASES = new Set(['overlay2', 'overlayfs', 'qemu-raw']);
  const FLOORS = new Set(['plain', 'loop']);
  const OTHERS = [
    ['var(--c-1)', 'triangle'],
    ['var(--c-2)', 'diamond'],
    ['var(--c-3)', 'star'],
    ['var(--c-4)', 'cross'],
    ['var(--quiet)', 'wye'],
  ];
  const SYMBOLS = {
    circle: d3.symbolCircle,
    cross: d3.symbolCross,
    diamond: d3.symbolDiamond,
    square: d3.symbolSquare,
    star: d3.symbolStar,
    triangle: d3.symbolTriangle,
    wye: d3.symbolWye,
  };

  /** Colour, shape and size of each subject of a suite; lamina's own come to lie on top. */
  function stylesOf(suite) {
    const own = suite.subjects.filter(({ name }) => name.startsWith('lamina')).map(({ name }) => name);
    let others = 0;
    return new Map(
      suite.subjects.map(({ name }) => {
        if (own.includes(name)) {
          const second = own.indexOf(name) > 0;
          const color = second ? 'var(--c-lamina-2)' : 'var(--c-lamina)';
          return [name, { color, symbol: second ? 'square' : 'circle', r: 5.5, own: true }];
        }
        if (BASES.has(name)) return [name, { color: 'var(--c-base)', symbol: 'square', r: 3 }];
        if (FLOORS.has(name))
          return [name, { color: 'var(--c-plain)', symbol: 'circle', r: 3, hollow: true }];
        const [color, symbol] = OTHERS[others++ % OTHERS.length];
        return [name, { color, symbol, r: 4 }];
      }),
    );
  }

  const ratioText = ratio => `${ratio >= 10 ? ratio.toFixed(0) : ratio.toPrecision(2)}×`;
  const plain = value => (value >= 100 || value === 0 ? value.toFixed(0) : value.toPrecision(3));
  const measured = row => Object.entries(row.figures).filter(([, figures]) => figures.length > 0);
  const baseOf = row => row.bases.find(name => row.figures[name]?.length > 0);

  /** One point for each subject with a figure: `value` with the least and greatest, and what it says in words. */
  function pointsOf(row, styles, compared) {
    const base = compared ? baseOf(row) : undefined;
    const basis = base === undefined ? undefined : d3.median(row.figures[base]);
    const scaled = figure =>
      basis === undefined ? figure : MORE_IS_BETTER.has(row.unit) ? basis / figure : figure / basis;
    return measured(row).map(([subject, figures]) => {
      const values = figures.map(scaled);
      const value = scaled(d3.median(figures));
      const said = basis === undefined ? '' : `${ratioText(value)}, `;
      const figure = `${plain(d3.median(figures))} ${row.unit}`;
      const range = figures.length > 1 ? ` (${plain(d3.min(figures))} to ${plain(d3.max(figures))})` : '';
      return {
        row: row.name,
        subject,
        value,
        low: d3.min(values),
        high: d3.max(values),
        style: styles.get(subject),
        label: `${row.name}, ${subject}: ${said}${figure}`,
        tip: `${row.name}\n${subject}: ${said}${figure}${range}`,
      };
    });
  }

  const STEPS = d3.range(-9, 10).flatMap(power => [1, 2, 5].map(n => n * 10 ** power));

  /** Round numbers inside a domain, few enough for the width. */
  function ticksIn([low, high], width) {
    const inside = STEPS.filter(step => step >= low && step <= high);
    return inside.length * 44 <= width ? inside : inside.filter(step => Number.isInteger(Math.log10(step)));
  }

  function domainOf(points, compared) {
    const low = d3.min(points, point => point.low);
    const high = d3.max(points, point => point.high);
    return compared ? [Math.min(low * 0.85, 0.5), Math.max(high * 1.15, 2)] : [low * 0.7, high * 1.4];
  }

  const dots = (points, more) =>
    Plot.dot(points, {
      x: 'value',
      y: 'row',
      symbol: point => point.style.symbol,
      r: point => point.style.r,
      fill: point => (point.style.hollow ? 'var(--paper)' : point.style.color),
      stroke: point => (point.style.hollow ? point.style.color : 'var(--paper)'),
      strokeWidth: 1.2,
      ariaLabel: 'label',
      sort: null,
      ...more,
    });

  /** Room at the right for the ratios of one of lamina's own, under its name. */
  const COLUMN = 76;
  /** The same above the rows. */
  const NARROW_COLUMN = 52;
  /** About the width of a letter of the rows' names. */
  const LETTER = 6.9;

  /** Rows of dots on a logarithmic axis; with ratios there is a line at 1. */
  function dotChart(rows, styles, compared, width, title) {
    const narrow = width < NARROW;
    const order = point => (point.style.own ? 1 : 0);
    const points = d3.sort(
      rows.flatMap(row => pointsOf(row, styles, compared)),
      order,
    );
    const own = points.filter(point => point.style.own);
    const columns = [...new Set(own.map(point => point.subject))];
    const names = rows.map(row => row.name);
    const domain = domainOf(points, compared);
    const margin = {
      left: narrow ? 16 : Math.max(190, 20 + LETTER * d3.max(names, name => name.length)),
      right: (narrow ? 10 : 14) + (narrow ? 0 : columns.length * COLUMN),
    };
    const ticks = ticksIn(domain, width - margin.left - margin.right);
    const inColumn = (subject, i) =>
      Plot.text(
        own.filter(point => point.subject === subject),
        {
          y: 'row',
          text: point => (compared ? ratioText(point.value) : plain(point.value)),
          frameAnchor: 'right',
          textAnchor: 'end',
          dx: narrow ? -(columns.length - 1 - i) * NARROW_COLUMN : COLUMN * (i + 1) - 4,
          dy: narrow ? -15 : 0,
          fill: styles.get(subject).color,
          fontWeight: 650,
          fontSize: 12.5,
        },
      );
    const headings = narrow
      ? []
      : columns.map((subject, i) =>
          Plot.text([subject], {
            text: [subject],
            frameAnchor: 'top-right',
            textAnchor: 'end',
            dx: COLUMN * (i + 1) - 4,
            dy: -16,
            fill: 'var(--quiet)',
            fontSize: 10.5,
          }),
        );
    const label = narrow
      ? Plot.text(names, {
          y: d => d,
          text: d => d,
          frameAnchor: 'left',
          textAnchor: 'start',
          dx: -16,
          dy: -15,
          fontSize: 12.5,
          fill: 'var(--ink)',
          stroke: 'var(--paper)',
          strokeWidth: 5,
        })
      : Plot.axisY({ tickSize: 0, label: null, fontSize: 12.5, tickPadding: 8 });
    return Plot.plot({
      width,
      height: 44 + names.length * (narrow ? 40 : 25),
      marginLeft: margin.left,
      marginRight: margin.right,
      marginTop: 26,
      marginBottom: 10,
      ariaLabel: title,
      x: { type: 'log', domain },
      y: { type: 'point', domain: names, padding: narrow ? 0.75 : 0.6, axis: null },
      r: { type: 'identity' },
      symbol: { type: 'identity' },
      style: { background: 'none', color: 'var(--ink)' },
      marks: [
        Plot.axisX(ticks, {
          anchor: 'top',
          tickSize: 0,
          label: null,
          text: d => (compared ? `${d}×` : `${d}`),
          fill: 'var(--quiet)',
          fontSize: 11,
        }),
        Plot.gridX(ticks, { stroke: 'var(--line)', strokeOpacity: 0.7 }),
        Plot.ruleY(names, { y: d => d, stroke: 'var(--line)' }),
        ...(compared ? [Plot.ruleX([1], { stroke: 'var(--ink)', strokeWidth: 1.5 })] : []),
        label,
        Plot.ruleY(points, {
          x1: 'low',
          x2: 'high',
          y: 'row',
          stroke: point => point.style.color,
          strokeWidth: 1.5,
          strokeOpacity: 0.5,
        }),
        dots(points),
        ...columns.map(inColumn),
        ...headings,
        Plot.tip(points, Plot.pointer({ x: 'value', y: 'row', title: 'tip', fontSize: 12 })),
      ],
    });
  }

  /** Places for labels at the ends of lines: as near to the ends as they can be without touching. */
  function spreadOut(ends, distance, low, high) {
    const sorted = d3.sort(ends, end => end.at);
    sorted.forEach((end, i) => {
      end.place = Math.max(end.at, i === 0 ? low : sorted[i - 1].place + distance);
    });
    for (let i = sorted.length - 1, limit = high; i >= 0; i--, limit = sorted[i + 1].place - distance)
      sorted[i].place = Math.min(sorted[i].place, limit);
    return sorted;
  }

  const count = d3.format('~s');

  function curveChart(rows, styles, width, title) {
    const points = rows.flatMap(row =>
      pointsOf(row, styles, false).map(point => {
        const scale = row.curve.per === undefined ? 1 : 1000 / row.curve.per;
        return {
          ...point,
          x: row.curve.x,
          y: point.value * scale,
          y1: point.low * scale,
          y2: point.high * scale,
        };
      }),
    );
    const xs = d3.sort(new Set(points.map(point => point.x)));
    const margin = { top: 12, bottom: 34, left: 46, right: 104 };
    const height = 250;
    const y = { type: 'log', domain: [d3.min(points, p => p.y1) * 0.8, d3.max(points, p => p.y2) * 1.25] };
    const place = d3.scaleLog(y.domain, [height - margin.bottom, margin.top]);
    const last = d3.groups(points, point => point.subject).map(([, of]) => d3.greatest(of, point => point.x));
    const ends = spreadOut(
      last.map(point => ({ point, at: place(point.y) })),
      14,
      margin.top,
      height - margin.bottom,
    );
    const pixels = place.invert;
    return Plot.plot({
      width,
      height,
      marginLeft: margin.left,
      marginRight: margin.right,
      marginTop: margin.top,
      marginBottom: margin.bottom,
      ariaLabel: title,
      x: { type: 'log', domain: d3.extent(xs) },
      y,
      symbol: { type: 'identity' },
      r: { type: 'identity' },
      style: { background: 'none', color: 'var(--ink)' },
      marks: [
        Plot.gridY(ticksIn(y.domain, 400), { stroke: 'var(--line)', strokeOpacity: 0.7 }),
        Plot.axisY(ticksIn(y.domain, 400), {
          tickSize: 0,
          label: null,
          text: count,
          fill: 'var(--quiet)',
          fontSize: 11,
        }),
        Plot.axisX(xs, {
          tickSize: 4,
          label: rows[0].curve.axis,
          labelArrow: 'none',
          labelAnchor: 'center',
          text: count,
          fill: 'var(--quiet)',
          fontSize: 11,
        }),
        Plot.line(points, {
          x: 'x',
          y: 'y',
          z: 'subject',
          stroke: point => point.style.color,
          strokeWidth: 2,
        }),
        Plot.ruleX(points, {
          x: 'x',
          y1: 'y1',
          y2: 'y2',
          stroke: point => point.style.color,
          strokeWidth: 2,
          strokeOpacity: 0.6,
        }),
        dots(
          d3.sort(points, point => (point.style.own ? 1 : 0)),
          { x: 'x', y: 'y' },
        ),
        Plot.text(ends, {
          x: () => xs.at(-1),
          y: end => pixels(end.place),
          text: end => end.point.subject,
          textAnchor: 'start',
          dx: 10,
          fill: end => end.point.style.color,
          fontWeight: end => (end.point.style.own ? 700 : 500),
        }),
        Plot.tip(points, Plot.pointer({ x: 'x', y: 'y', title: 'tip', fontSize: 12 })),
      ],
    });
  }

  return { stylesOf, measured, baseOf, dotChart, curveChart, SYMBOLS };
})();
