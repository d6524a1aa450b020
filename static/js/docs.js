// Swagger UI from this server only; no remote validator.
const place = document.getElementById("swagger-ui");
window.SwaggerUIBundle({
  url: place.dataset.url,
  domNode: place,
  validatorUrl: null,
  // Changing requests of a signed-in browser need the CSRF token of its session.
  requestInterceptor: (request) => {
    if (place.dataset.csrf) request.headers["X-CSRF-Token"] = place.dataset.csrf;
    return request;
  },
  deepLinking: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
});
