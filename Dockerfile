# The service and its migrations, without tools to build them and without root.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m venv /app \
 && /app/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt \
 && pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY migrations migrations
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && /app/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin loyalty
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["loyalty"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
