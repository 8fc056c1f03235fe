import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("django_pm", "0002_membership_comment"),
    ]

    operations = [
        migrations.CreateModel(
            name="TaskDetails",
            fields=[
                (
                    "task",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="details",
                        serialize=False,
                        to="django_pm.task",
                    ),
                ),
                ("cost_centre", models.CharField(blank=True, max_length=20)),
                ("estimate_minutes", models.PositiveIntegerField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "task details",
                "verbose_name_plural": "task details",
            },
        ),
    ]
