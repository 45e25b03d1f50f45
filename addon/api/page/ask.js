// Questions to the proxy.

export class Unauthorized extends Error {}

const message = (body) => body.error?.message ?? body.error;

export async function ask(path, options) {
  const response = await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store", ...options });
  const body = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (response.status === 401) throw new Unauthorized(message(body));
  if (!response.ok) throw new Error(message(body) ?? `The proxy answered ${response.status}.`);
  return body;
}

export const post = (path, body) => ask(path, {
  method: "POST",
  headers: { Accept: "application/json", "Content-Type": "application/json" },
  body: JSON.stringify(body),
});
