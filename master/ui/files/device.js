// The device: the machine, and what doctor says of it, certificates and disk among that.
import { get } from './api.js';
import { bytes, el, state, table } from './dom.js';

export async function show({ main, signal }) {
  const [inspect, doctor] = await Promise.all([
    get('/v1/system/inspect', signal),
    get('/v1/system/doctor', signal),
  ]);
  const { software: s = {}, hardware: h = {} } = inspect;
  const facts = [
    ['Host', h.host_stats?.hostname],
    ['System', `${h.host_stats?.platform ?? s.os} ${h.host_stats?.platform_version ?? ''}`],
    ['Kernel', h.host_stats?.kernel_version],
    [
      'Processor',
      `${h.cpu_stats?.model_name ?? s.arch}, ${h.cpu_stats?.cores ?? '?'} cores, ` +
        `${(h.cpu_stats?.used_percent ?? 0).toFixed(0)} % used`,
    ],
    ['Memory', h.mem_stats && `${bytes(h.mem_stats.used)} of ${bytes(h.mem_stats.total)}`],
    ['Disk', h.disk_stats && `${bytes(h.disk_stats.used)} of ${bytes(h.disk_stats.total)}`],
    ['Master', `${s.bin_version ?? ''} ${s.git_revision ?? ''}`],
    ['Application', s.conf_version],
  ].filter(([, value]) => value);
  const findings = table(
    'What doctor says',
    [
      { label: 'Check', value: (f) => f.id },
      { label: '', value: (f) => state(f.severity) },
      { label: 'What', value: (f) => f.text },
      { label: 'What to do', value: (f) => f.hint ?? '' },
    ],
    (f, n) => n,
  );
  findings.update(doctor.findings ?? []);
  main.replaceChildren(
    el('h1', {}, 'Device'),
    el(
      'div',
      { class: 'cards' },
      ...facts.map(([k, v]) => el('div', { class: 'card' }, el('span', { class: 'quiet' }, k), el('b', {}, v))),
    ),
    el('h2', {}, 'Doctor'),
    findings,
  );
}
