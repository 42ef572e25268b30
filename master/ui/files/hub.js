// The hub: clients, numbers, what is retained, and messages to try.
import { every, follow, get, modules, post, renewed } from './api.js';
import { bytes, el, field, plot, since, sure, table } from './dom.js';

const SHOWN = [
  // of /v1/counters: name, label, whether it grows and its rate is of interest
  ['connections', 'Connections'],
  ['publish_received', 'Received', true],
  ['publish_sent', 'Sent', true],
  ['dropped', 'Dropped', true],
  ['sessions', 'Sessions'],
  ['retained', 'Retained'],
  ['stored_bytes', 'On disk'],
  ['logins_refused', 'Logins refused', true],
];

export async function show({ main, signal, say, argument }) {
  const names = await modules('hub', signal);
  if (!names.length) {
    main.replaceChildren(el('h1', {}, 'Hub'), el('p', {}, 'No service has the admin interface of a hub.'));
    return;
  }
  const name = names.includes(argument) ? argument : names[0];
  const at = (path) => `/v1/services/${encodeURIComponent(name)}/admin/v1/${path}`;
  const cards = el('div', { class: 'cards' });
  const plots = new Map();
  const clients = table(
    'Clients',
    [
      { label: 'Client', value: (c) => c.client },
      { label: 'User', value: (c) => c.user },
      { label: 'Address', value: (c) => c.address },
      { label: 'Protocol', value: (c) => c.protocol },
      { label: 'Published', number: true, value: (c) => c.published },
      { label: 'Queued', number: true, value: (c) => c.queued },
      { label: 'In flight', number: true, value: (c) => c.in_flight },
      { label: 'Dropped', number: true, value: (c) => c.dropped },
      { label: 'Up', number: true, value: (c) => since(c.since) },
      {
        label: '',
        value: (c, row) =>
          (row.kick ??= sure(
            'Kick',
            () => act(() => post(at('clients/kick'), { client: c.client, reason: 'the page' })),
            c.client,
          )),
      },
    ],
    (c) => c.client,
  );
  const act = async (f) => {
    try {
      await f();
      say('');
    } catch (error) {
      say(error.message);
    }
  };
  const more = el('p', { class: 'quiet' });
  main.replaceChildren(
    el('h1', {}, names.length > 1 ? 'Hubs' : `Hub ${name}`),
    names.length > 1
      ? el(
          'p',
          {},
          ...names.map((n) =>
            el('a', { href: `#hub/${encodeURIComponent(n)}`, 'aria-current': n === name && 'true' }, n + ' '),
          ),
        )
      : '',
    cards,
    el('h2', {}, 'Clients'),
    clients,
    more,
    el('h2', {}, 'Try it'),
    tryOut(at, signal, act),
  );
  let before;
  await every(
    2000,
    async () => {
      const values = await get(at('counters'), signal);
      const now = { time: performance.now(), values };
      for (const [key, label, rate] of SHOWN) {
        if (!(key in now.values)) continue; // a hub of another version
        const value = now.values[key];
        const speed = before ? ((value - before.values[key]) * 1000) / (now.time - before.time) : 0;
        if (!plots.has(key)) {
          const p = plot(label);
          plots.set(key, p);
          cards.append(el('div', { class: 'card' }, el('span', { class: 'quiet' }, label), p));
        }
        plots
          .get(key)
          .push(
            rate ? speed : value,
            rate ? `${value} (${speed.toFixed(1)}/s)` : key.endsWith('bytes') ? bytes(value) : String(value),
          );
      }
      before = now;
      const page = await get(at('clients?limit=200'), signal);
      clients.update(page.items ?? [], 'Nobody is connected.');
      more.textContent = page.next ? 'The first 200 are shown; baetyl hub clients shows all.' : '';
    },
    { signal, say },
  );
}

const MOST = 200;

function tryOut(at, signal, act) {
  const filter = el('input', { value: '#', required: true });
  const topic = el('input', { value: 't', required: true });
  const payload = el('textarea', {}, '{"id": 1}');
  const qos = el('select', {}, el('option', {}, '0'), el('option', {}, '1'), el('option', {}, '2'));
  const out = el('pre', { tabindex: '0', role: 'log', 'aria-label': 'Messages' });
  const again = renewed(signal);
  const subscribe = (event) => {
    event.preventDefault();
    out.replaceChildren();
    follow(
      () => at('messages?' + new URLSearchParams({ filter: filter.value })),
      (m) => {
        const text = m.error
          ? m.error.message
          : m.missed
            ? `(${m.missed} missed)`
            : `${m.topic}  ${m.payload ?? `(${m.size} bytes)`}`;
        out.append(document.createTextNode(text + '\n'));
        while (out.childNodes.length > MOST) out.firstChild.remove();
        out.scrollTop = out.scrollHeight;
      },
      (text) => {
        if (text) out.append(document.createTextNode(text + '\n'));
      },
      again(),
    );
  };
  const publish = (event) => {
    event.preventDefault();
    act(() => post(at('publish'), { topic: topic.value, payload: payload.value, qos: Number(qos.value) }));
  };
  return el(
    'div',
    {},
    el('form', { class: 'row', onsubmit: subscribe }, field('Filter', filter), el('button', {}, 'Subscribe')),
    out,
    el(
      'form',
      { onsubmit: publish },
      el('div', { class: 'row' }, field('Topic', topic), field('QoS', qos)),
      field('Payload', payload),
      el('div', { class: 'row' }, el('button', {}, 'Publish')),
    ),
  );
}
