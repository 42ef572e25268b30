// The API of the master, as docs/api/master.yaml describes it. What needs a login has it as `Authorization: Bearer`.

const KEY = 'baetyl.session'; // of this tab: it ends with it

export const session = {
  get text() {
    return sessionStorage.getItem(KEY);
  },
  set text(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
    dispatchEvent(new Event('session'));
  },
};

export class APIError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(method, path, body, signal) {
  const headers = {};
  if (session.text) headers.Authorization = 'Bearer ' + session.text;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new APIError(0, 'The master does not answer. It may be restarting; this page tries again.');
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401 && session.text && path !== '/login') session.text = null;
  throw new APIError(answer.status, said.message || `status ${answer.status}`);
}

const value = async (answer) => JSON.parse((await answer.text()) || 'null'); // what is done may have nothing to say
export const get = async (path, signal) => value(await send('GET', path, undefined, signal));
export const post = async (path, body, signal) => value(await send('POST', path, body ?? {}, signal));

export async function login(secret) {
  session.text = null;
  session.text = (await post('/login', { secret })).session;
}

// stream calls line with each value of a stream until it ends.
async function stream(path, line, signal) {
  const answer = await send('GET', path, undefined, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const one of lines) if (one) line(JSON.parse(one));
  }
}

// follow is stream again and again, also over a restart of the master, while somebody looks. next gives the path each
// time, state is told how it is.
export async function follow(next, line, state, signal) {
  while (!signal.aborted) {
    await visible(signal);
    const round = new AbortController();
    const end = () => round.abort();
    const hidden = () => {
      if (document.hidden) end();
    };
    signal.addEventListener('abort', end);
    document.addEventListener('visibilitychange', hidden);
    try {
      state('');
      await stream(next(), line, round.signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!round.signal.aborted) state(error.message);
      if (error.status >= 400 && error.status < 500) return;
    } finally {
      signal.removeEventListener('abort', end);
      document.removeEventListener('visibilitychange', hidden);
    }
    await sleep(1000, signal);
  }
}

// every calls f again and again, while somebody looks. An error is said, and the next call tries again; one that asks
// for a login is thrown.
export async function every(milliseconds, f, { signal, say }) {
  let failed = false;
  while (!signal.aborted) {
    await visible(signal);
    try {
      await f();
      if (failed) say('');
      failed = false;
    } catch (error) {
      if (signal.aborted || error.status === 401) throw error;
      failed = true;
      say(error.message);
    }
    await sleep(milliseconds, signal);
  }
}

// renewed returns what gives a new signal at each call. It ends with the next call, and with signal.
export function renewed(signal) {
  let inner;
  signal.addEventListener('abort', () => inner?.abort());
  return () => {
    inner?.abort();
    inner = new AbortController();
    return inner.signal;
  };
}

// modules are the services that are of a kind.
export async function modules(kind, signal) {
  const { items } = await get('/v1/modules', signal);
  return items.filter((m) => m.module === kind).map((m) => m.service);
}

const sleep = (milliseconds, signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        done();
      },
      { once: true },
    );
  });

const visible = (signal) =>
  new Promise((done) => {
    if (!document.hidden) return done();
    const check = () => {
      if (!document.hidden) done();
    };
    document.addEventListener('visibilitychange', check, { signal });
    signal.addEventListener('abort', done, { once: true });
  });
