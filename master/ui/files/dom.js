// Elements. All that comes from a device is text: nothing here takes markup.

export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (value === true) e.setAttribute(name, '');
    else if (value !== false && value !== undefined && value !== null) e.setAttribute(name, value);
  }
  e.append(...children.filter((c) => c !== undefined && c !== null));
  return e;
}

// put sets the text of an element, or its only child, if it is another one.
export function put(e, value) {
  if (value instanceof Node) {
    if (e.firstChild !== value || e.childNodes.length !== 1) e.replaceChildren(value);
  } else if (e.textContent !== String(value ?? '')) {
    e.textContent = value ?? '';
  }
}

// table shows items. A column is {label, value(item, row), number}; value returns text or a node. A row stays the same
// element as long as its key is there, so that focus, plots and half-done clicks stay.
export function table(caption, columns, key) {
  const body = el('tbody');
  const head = el(
    'tr',
    {},
    ...columns.map((c) =>
      el('th', { scope: 'col', class: c.number && 'number' }, c.label || el('span', { class: 'skip' }, 'Actions')),
    ),
  );
  const empty = el('p', { class: 'quiet' });
  const root = el(
    'div',
    {},
    el(
      'div',
      { class: 'wide' },
      el('table', { class: 'stack', 'aria-label': caption }, el('thead', {}, head), body),
    ),
    empty,
  );
  const rows = new Map();
  root.update = (items, none = 'There are none.') => {
    const seen = new Set();
    items.forEach((item, at) => {
      const id = String(key(item, at));
      seen.add(id);
      let row = rows.get(id);
      if (!row) {
        row = {
          memory: {},
          cells: columns.map((c) => el('td', { 'data-label': c.label, class: c.number && 'number' })),
        };
        row.tr = el('tr', {}, ...row.cells);
        rows.set(id, row);
      }
      columns.forEach((c, n) => put(row.cells[n], c.value(item, row.memory)));
      if (body.children[at] !== row.tr) body.insertBefore(row.tr, body.children[at] ?? null);
    });
    for (const [id, row] of rows)
      if (!seen.has(id)) {
        row.tr.remove();
        rows.delete(id);
      }
    empty.textContent = items.length ? '' : none;
    root.firstChild.hidden = !items.length;
  };
  return root;
}

// sure is a button that asks again before it acts: the second click does it.
export function sure(label, act, describedBy) {
  let armed;
  const button = el(
    'button',
    {
      type: 'button',
      'aria-label': describedBy ? `${label} ${describedBy}` : undefined,
      onclick: async () => {
        if (!armed) {
          button.textContent = `${label}: sure?`;
          button.classList.add('sure');
          armed = setTimeout(calm, 5000);
          return;
        }
        calm();
        button.disabled = true;
        try {
          await act();
        } finally {
          button.disabled = false;
        }
      },
    },
    label,
  );
  const calm = () => {
    clearTimeout(armed);
    armed = undefined;
    button.textContent = label;
    button.classList.remove('sure');
  };
  return button;
}

const kinds = {
  good: ['running', 'healthy', 'ok', 'UPDATED', 'updated', 'found'],
  warn: ['starting', 'waiting', 'restarting', 'warning', 'ROLLEDBACK', 'rolled back', 'rolledback'],
  bad: ['failed', 'unhealthy', 'error', 'FAILURE', 'failure'],
};

export function state(text) {
  const kind = Object.keys(kinds).find((k) => kinds[k].includes(text)) ?? 'quiet';
  return el('span', { class: `state ${kind}` }, text);
}

// plot draws the last numbers that were pushed to it.
export function plot(label) {
  const NS = 'http://www.w3.org/2000/svg';
  const line = document.createElementNS(NS, 'polyline');
  const svg = document.createElementNS(NS, 'svg');
  svg.setAttribute('class', 'plot');
  svg.setAttribute('viewBox', '0 0 60 20');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(line);
  const text = el('span');
  const root = el('div', { title: label }, text, svg);
  const values = [];
  root.push = (value, shown) => {
    text.textContent = shown;
    values.push(value);
    if (values.length > 60) values.shift();
    const most = Math.max(...values, 1e-9);
    line.setAttribute(
      'points',
      values.map((v, n) => `${60 - values.length + n},${19 - 18 * (v / most)}`).join(' '),
    );
    return root;
  };
  return root;
}

export const bytes = (n) => {
  if (n === undefined) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  for (; n >= 1024 && at < units.length - 1; at++) n /= 1024;
  return `${at && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
};

export const since = (time) => {
  if (!time) return '';
  const s = Math.max(0, (Date.now() - new Date(time)) / 1000);
  for (const [unit, length] of [
    ['d', 86400],
    ['h', 3600],
    ['min', 60],
  ]) {
    if (s >= 2 * length) return `${Math.floor(s / length)} ${unit}`;
  }
  return `${Math.floor(s)} s`;
};

export const clock = (time) => (time ? new Date(time).toLocaleString() : '');

export const field = (label, input) => el('label', {}, label, input);
