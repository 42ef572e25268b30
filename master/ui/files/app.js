// The page: what stands behind # says which view is shown. A view draws into the element that it gets, and ends with
// its signal.
import { login, session } from './api.js';
import { el, field } from './dom.js';
import * as services from './services.js';
import * as logs from './logs.js';
import * as updates from './updates.js';
import * as hub from './hub.js';
import * as functions from './functions.js';
import * as device from './device.js';

const views = {
  services: { title: 'Services', show: services.list },
  service: { show: services.one },
  logs: { title: 'Logs', show: logs.show },
  events: { title: 'Events', show: logs.events },
  updates: { title: 'Updates', show: updates.list },
  update: { show: updates.one },
  hub: { title: 'Hub', show: hub.show },
  functions: { title: 'Functions', show: functions.show },
  device: { title: 'Device', show: device.show },
  login: { show: showLogin },
};

const main = document.getElementById('main');
const notice = document.getElementById('notice');
let leave = new AbortController();

function say(text) {
  notice.textContent = text;
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [, name = '', ...rest] = /^#([a-z]*)(?:\/(.*))?/.exec(location.hash) ?? [];
  if (location.hash.startsWith('#login=')) {
    const secret = location.hash.slice(7);
    history.replaceState(null, '', '#services'); // a code is not kept where somebody finds it
    try {
      await login(secret);
      say('');
    } catch (error) {
      say(error.message);
    }
    return show();
  }
  const view = views[name] ? name : 'services';
  const argument = rest[0] === undefined ? '' : decodeURIComponent(rest[0]);
  draw(view);
  main.replaceChildren();
  document.title = `Baetyl: ${argument || views[view].title || view}`;
  try {
    await views[view].show({ main, signal, say, argument });
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) main.replaceChildren(loginForm());
    else say(error.message);
  }
}

function draw(current) {
  document.getElementById('nav').replaceChildren(
    ...Object.entries(views)
      .filter(([, v]) => v.title)
      .map(([name, v]) => el('a', { href: `#${name}`, 'aria-current': name === current && 'page' }, v.title)),
  );
  document.getElementById('who').replaceChildren(
    session.text
      ? el(
          'button',
          {
            type: 'button',
            onclick: () => {
              session.text = null;
              show();
            },
          },
          'Log out',
        )
      : el('a', { href: '#login' }, 'Log in'),
  );
}

function showLogin() {
  main.replaceChildren(loginForm());
}

function loginForm() {
  const secret = el('input', { type: 'password', autocomplete: 'off', required: true });
  return el(
    'form',
    {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await login(secret.value.replace(/^.*#login=/, ''));
          say('');
          if (location.hash === '#login') location.hash = '#services';
          else show();
        } catch (error) {
          say(error.message);
        }
      },
    },
    el('h1', {}, 'Log in'),
    el(
      'p',
      {},
      'Type ',
      el('code', {}, 'baetyl ui'),
      ' on the device, and open the link that it prints, or paste it here. The token of ',
      el('code', {}, 'ui.token'),
      ' works too.',
    ),
    el('div', { class: 'row' }, field('Link or token', secret), el('button', {}, 'Log in')),
  );
}

addEventListener('hashchange', show);
addEventListener('session', () => draw(/^#([a-z]*)/.exec(location.hash)?.[1] || 'services'));
show();
