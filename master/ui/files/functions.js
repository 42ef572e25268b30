// Functions and rules of the function managers, and a call to try.
import { every, get, modules, post } from './api.js';
import { el, field, table } from './dom.js';

export async function show({ main, signal, say, argument }) {
  const names = await modules('function-manager', signal);
  if (!names.length) {
    main.replaceChildren(
      el('h1', {}, 'Functions'),
      el('p', {}, 'No service has the admin interface of a function manager.'),
    );
    return;
  }
  const name = names.includes(argument) ? argument : names[0];
  const at = (path) => `/v1/services/${encodeURIComponent(name)}/admin/v1/${path}`;
  const failed = (f) =>
    Object.entries(f.calls ?? {}).reduce((n, [how, count]) => n + (how === 'ok' ? 0 : count), 0);
  const calls = (f) => Object.values(f.calls ?? {}).reduce((a, b) => a + b, 0);
  const functions = table(
    'Functions',
    [
      { label: 'Function', value: (f) => f.name },
      {
        label: 'Service',
        value: (f, row) => (row.link ??= el('a', { href: `#service/${encodeURIComponent(f.service)}` }, f.service)),
      },
      {
        label: 'Instances',
        value: (f) =>
          Object.entries(f.instances ?? {})
            .filter(([, n]) => n)
            .map(([s, n]) => `${n} ${s}`)
            .join(', ') || 'none',
      },
      { label: 'Waiting', number: true, value: (f) => f.waiting },
      { label: 'Calls', number: true, value: calls },
      { label: 'Failed', number: true, value: failed },
      {
        label: 'Mean time',
        number: true,
        value: (f) => (calls(f) ? `${((1000 * f.call_seconds) / calls(f)).toFixed(1)} ms` : ''),
      },
      { label: 'Last error', value: (f) => f.last_error ?? '' },
    ],
    (f) => f.name,
  );
  const rules = table(
    'Rules',
    [
      { label: 'Subscribes', value: (r) => r.subscribe },
      { label: 'Function', value: (r) => r.function },
      { label: 'Publishes', value: (r) => r.publish },
      { label: 'Connected', value: (r) => (r.connected ? 'yes' : 'no') },
      { label: 'Received', number: true, value: (r) => r.received },
      { label: 'Results', number: true, value: (r) => r.results },
      { label: 'Errors', number: true, value: (r) => r.errors },
      { label: 'Dropped', number: true, value: (r) => r.dropped },
    ],
    (r, n) => n,
  );
  const which = el('select');
  const payload = el('textarea', {}, '{"id": 1}');
  const out = el('pre', { tabindex: '0', role: 'status', 'aria-label': 'Result' });
  const call = async (event) => {
    event.preventDefault();
    out.textContent = '…';
    try {
      const a = await post(at('functions/call'), { function: which.value, payload: payload.value });
      out.textContent = `${a.payload ?? `(${a.size} bytes)`}\n(${(1000 * a.seconds).toFixed(1)} ms)`;
    } catch (error) {
      out.textContent = error.message;
    }
  };
  main.replaceChildren(
    el('h1', {}, `Functions of ${name}`),
    functions,
    el('h2', {}, 'Rules'),
    rules,
    el('h2', {}, 'Call one'),
    el(
      'form',
      { onsubmit: call },
      field('Function', which),
      field('Payload', payload),
      el('div', { class: 'row' }, el('button', {}, 'Call')),
    ),
    out,
  );
  await every(
    2000,
    async () => {
      const all = (await get(at('functions'), signal)).items ?? [];
      functions.update(all);
      if (which.options.length !== all.length) which.replaceChildren(...all.map((f) => el('option', {}, f.name)));
      rules.update((await get(at('rules'), signal)).items ?? []);
    },
    { signal, say },
  );
}
