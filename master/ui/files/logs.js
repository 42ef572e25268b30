// Logs and events, which follow.
import { follow, get, renewed } from './api.js';
import { clock, el, field } from './dom.js';

const MOST = 2000; // lines that the page keeps

// tail shows lines as they come, those of one service or of all. It stays at the end while its end is in sight.
export function tail(root, signal, { service = '', tail: lines = 200, filter = () => '' }) {
  const out = el('pre', { tabindex: '0', role: 'log', 'aria-label': 'Lines' });
  const status = el('p', { class: 'quiet', role: 'status' });
  root.replaceChildren(status, out);
  let last = '';
  const next = () => {
    const q = new URLSearchParams({ follow: 'true' });
    if (service) q.set('service', service);
    if (last) q.set('since', last);
    else q.set('tail', lines);
    return '/v1/logs?' + q;
  };
  follow(
    next,
    (line) => {
      if (line.error) {
        status.textContent = line.error.message;
        return;
      }
      last = line.time;
      const text = `${line.time.slice(0, 23).replace('T', ' ')} [${line.instance || line.service}] ${line.text}\n`;
      if (!text.toLowerCase().includes(filter().toLowerCase())) return;
      const atEnd = out.scrollTop + out.clientHeight >= out.scrollHeight - 20;
      out.append(document.createTextNode(text));
      while (out.childNodes.length > MOST) out.firstChild.remove();
      if (atEnd) out.scrollTop = out.scrollHeight;
    },
    (text) => {
      status.textContent = text;
    },
    signal,
  );
  return out;
}

export async function show({ main, signal, argument }) {
  const { services } = await get('/v1/services', signal);
  await get('/v1/history', signal); // whoever may read this may read logs: else the login comes first
  const which = el(
    'select',
    {},
    el('option', { value: '' }, 'all services'),
    ...(services ?? []).map((s) => el('option', { value: s.name, selected: s.name === argument }, s.name)),
  );
  const filter = el('input', { type: 'search', placeholder: 'text' });
  const lines = el('div');
  const fresh = renewed(signal);
  const again = () => {
    tail(lines, fresh(), { service: which.value, filter: () => filter.value });
  };
  which.addEventListener('change', again);
  filter.addEventListener('change', again);
  main.replaceChildren(
    el('h1', {}, 'Logs'),
    el('div', { class: 'row' }, field('Service', which), field('Only lines with', filter)),
    lines,
  );
  again();
}

export async function events({ main, signal }) {
  await get('/v1/history', signal); // as above
  const out = el('pre', { tabindex: '0', role: 'log', 'aria-label': 'Events' });
  const status = el('p', { class: 'quiet', role: 'status' });
  main.replaceChildren(el('h1', {}, 'Events'), status, out);
  let from = 0;
  follow(
    () => `/v1/events?follow=true&since=${from}`,
    (e) => {
      if (e.error) {
        status.textContent = e.error.message;
        return;
      }
      from = e.number + 1;
      out.prepend(
        document.createTextNode(`${clock(e.time)}  ${e.kind}  ${e.instance || e.service || ''}  ${e.text}\n`),
      );
      while (out.childNodes.length > MOST) out.lastChild.remove();
    },
    (text) => {
      status.textContent = text;
    },
    signal,
  );
}
